// The C side of eng/standins/TorchSharp: a handful of entries over libtorch, all operators through one of them.
#pragma once
#include <ATen/core/TensorBody.h>
#include <cstdint>
#include <string>

#define API extern "C" __attribute__((visibility("default")))

using Impl = c10::TensorImpl;

// One value crossing the border, in either direction. C# writes the same 16 bytes.
namespace tag {
enum Kind : int32_t {
  None, Tensor, Int, Double, Bool, IntList, DoubleList, TensorList, OptionalTensorList, String, Device, Generator, Default,
};
}  // namespace tag
struct Arg {
  int32_t kind;
  int32_t count;
  union {
    int64_t i;
    double d;
    void* p;
  };
};

// Every entry that can fail returns false (or null) and leaves the text of the failure here, for the same thread.
void set_error(const char* what);

template <typename F>
bool guarded(F&& body) {
  try {
    body();
    return true;
  } catch (const std::exception& e) {
    set_error(e.what());
  } catch (...) {
    set_error("unknown native exception");
  }
  return false;
}

// C# owns one reference for each Tensor object; arguments are borrowed.
inline at::Tensor borrow(void* p) {
  return p ? at::Tensor(c10::intrusive_ptr<Impl, c10::UndefinedTensorImpl>::reclaim_copy(static_cast<Impl*>(p))) : at::Tensor();
}
inline void* give(at::Tensor t) { return t.defined() ? t.unsafeReleaseTensorImpl() : nullptr; }

inline std::vector<at::Tensor> borrow(void** p, int32_t n) {
  std::vector<at::Tensor> list;
  list.reserve(n);
  for (int32_t k = 0; k < n; k++) list.push_back(borrow(p[k]));
  return list;
}
inline void give(std::vector<at::Tensor> list, void** out) {
  for (size_t k = 0; k < list.size(); k++) out[k] = give(std::move(list[k]));
}
