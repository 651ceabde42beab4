// Any ATen operator by schema name, through the dispatcher with boxed arguments.
#include "bridge.h"
#include <ATen/core/Generator.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

namespace {
thread_local std::string last_error;
thread_local std::vector<Arg> results;

// c10::optional in libtorch 1, std::optional in 2.
using Maybe = decltype(std::declval<c10::IValue&>().toOptional<at::Tensor>());

struct Op {
  c10::OperatorHandle handle;
  std::vector<c10::IValue> defaults;  // None where the schema has no default
};

at::Device device_of(int64_t packed) {
  return at::Device(static_cast<at::DeviceType>(packed >> 16), static_cast<c10::DeviceIndex>(static_cast<int16_t>(packed & 0xffff)));
}

c10::IValue to_ivalue(const Arg& a, const c10::IValue& fallback) {
  switch (a.kind) {
    case tag::None: return {};
    case tag::Tensor: return c10::IValue(borrow(a.p));
    case tag::Int: return c10::IValue(a.i);
    case tag::Double: return c10::IValue(a.d);
    case tag::Bool: return c10::IValue(a.i != 0);
    case tag::IntList: {
      c10::List<int64_t> list;
      list.reserve(a.count);
      for (int32_t k = 0; k < a.count; k++) list.push_back(static_cast<int64_t*>(a.p)[k]);
      return c10::IValue(std::move(list));
    }
    case tag::DoubleList: {
      c10::List<double> list;
      for (int32_t k = 0; k < a.count; k++) list.push_back(static_cast<double*>(a.p)[k]);
      return c10::IValue(std::move(list));
    }
    case tag::TensorList: {
      c10::List<at::Tensor> list;
      list.reserve(a.count);
      for (int32_t k = 0; k < a.count; k++) list.push_back(borrow(static_cast<void**>(a.p)[k]));
      return c10::IValue(std::move(list));
    }
    case tag::OptionalTensorList: {
      c10::List<Maybe> list;
      list.reserve(a.count);
      for (int32_t k = 0; k < a.count; k++) {
        void* p = static_cast<void**>(a.p)[k];
        list.push_back(p ? Maybe(borrow(p)) : Maybe());
      }
      return c10::IValue(std::move(list));
    }
    case tag::String: return c10::IValue(std::string(static_cast<char*>(a.p), a.count));
    case tag::Device: return c10::IValue(device_of(a.i));
    case tag::Generator: return c10::IValue(*static_cast<at::Generator*>(a.p));
    case tag::Default: return fallback;
  }
  TORCH_CHECK(false, "unknown argument tag ", a.kind);
}

void add_result(c10::IValue& v) {
  Arg r{};
  if (v.isTensor()) {
    r.kind = tag::Tensor;
    r.p = give(std::move(v).toTensor());
  } else if (v.isTensorList()) {
    for (auto& t : v.toTensorVector()) {
      r.kind = tag::Tensor;
      r.p = give(std::move(t));
      results.push_back(r);
    }
    return;
  } else if (v.isInt()) {
    r.kind = tag::Int;
    r.i = v.toInt();
  } else if (v.isDouble()) {
    r.kind = tag::Double;
    r.d = v.toDouble();
  } else if (v.isBool()) {
    r.kind = tag::Bool;
    r.i = v.toBool();
  } else {
    TORCH_CHECK(v.isNone(), "the bridge cannot hand over a result of type ", v.tagKind());
    r.kind = tag::None;
  }
  results.push_back(r);
}
}  // namespace

void set_error(const char* what) { last_error = what; }

API const char* tss_last_error() { return last_error.c_str(); }

// Null, with an error text, where this libtorch lacks the operator.
API void* tss_find_op(const char* name, const char* overload) {
  Op* op = nullptr;
  guarded([&] {
    auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    std::vector<c10::IValue> defaults;
    for (const auto& a : handle.schema().arguments())
      defaults.push_back(a.default_value().has_value() ? *a.default_value() : c10::IValue());
    op = new Op{handle, std::move(defaults)};
  });
  return op;
}

// Calls `op`; trailing arguments left out take the schema's defaults. The results stay valid until the thread's next call.
API int32_t tss_call(void* op_, const Arg* args, int32_t n, const Arg** out) {
  auto& op = *static_cast<Op*>(op_);
  bool ok = guarded([&] {
    torch::jit::Stack stack;
    stack.reserve(op.defaults.size());
    for (int32_t k = 0; k < n; k++) stack.push_back(to_ivalue(args[k], op.defaults[k]));
    for (size_t k = n; k < op.defaults.size(); k++) stack.push_back(op.defaults[k]);
    op.handle.callBoxed(&stack);
    results.clear();
    for (auto& v : stack) add_result(v);
  });
  *out = results.data();
  return ok ? static_cast<int32_t>(results.size()) : -1;
}
