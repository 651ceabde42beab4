// A tensor's lifetime, what it says of itself, and memory that C# owns.
#include "bridge.h"
#include <ATen/Functions.h>
#include <ATen/ops/from_blob.h>

API void tss_release(void* t) { c10::intrusive_ptr<Impl, c10::UndefinedTensorImpl>::reclaim(static_cast<Impl*>(t)); }

API void* tss_retain(void* t) { return give(borrow(t)); }

struct Info {
  int64_t numel, storage_offset;
  int32_t ndim, dtype, element_size, device_type, device_index;
  bool requires_grad, is_leaf, is_contiguous, is_sparse;
};

API bool tss_info(void* t, Info* info) {
  return guarded([&] {
    auto x = borrow(t);
    info->numel = x.numel();
    info->ndim = x.dim();
    info->dtype = static_cast<int32_t>(x.scalar_type());
    info->element_size = x.element_size();
    info->device_type = static_cast<int32_t>(x.device().type());
    info->device_index = x.device().index();
    info->requires_grad = x.requires_grad();
    info->is_leaf = x.is_leaf();
    info->is_sparse = x.is_sparse();
    info->storage_offset = x.is_sparse() ? 0 : x.storage_offset();
    info->is_contiguous = !x.is_sparse() && x.is_contiguous();
  });
}

API int32_t tss_ndim(void* t) { return static_cast<Impl*>(t)->dim(); }

API bool tss_sizes(void* t, int64_t* out) {
  return guarded([&] {
    for (auto s : static_cast<Impl*>(t)->sizes()) *out++ = s;
  });
}

API bool tss_strides(void* t, int64_t* out) {
  return guarded([&] {
    for (auto s : static_cast<Impl*>(t)->strides()) *out++ = s;
  });
}

API void* tss_data(void* t) {
  void* p = nullptr;
  guarded([&] { p = borrow(t).data_ptr(); });
  return p;
}

// A CPU tensor over memory of the caller, who hears through `release(context)` when the last user of it is gone.
API void* tss_from_blob(void* data, const int64_t* sizes, int32_t n, int32_t dtype, void (*release)(void*), void* context) {
  void* t = nullptr;
  guarded([&] {
    t = give(at::from_blob(data, at::IntArrayRef(sizes, n), [=](void*) { release(context); },
                           at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype))));
  });
  return t;
}
