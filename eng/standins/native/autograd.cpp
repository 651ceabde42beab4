// What the dispatcher does not hold of autograd: gradients, modes, and functions whose backward is written in C#.
#include "bridge.h"
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/anomaly_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>
#include <unordered_set>

using namespace torch::autograd;

API bool tss_set_requires_grad(void* t, bool on) {
  return guarded([&] { borrow(t).set_requires_grad(on); });
}
API bool tss_retain_grad(void* t) {
  return guarded([&] { borrow(t).retain_grad(); });
}
API void* tss_grad(void* t) { return give(borrow(t).grad()); }
API bool tss_set_grad(void* t, void* grad) {
  return guarded([&] { borrow(t).mutable_grad() = borrow(grad); });
}

API bool tss_backward(void** tensors, int32_t n, void** grads, int32_t g, bool retain, bool create, void** inputs, int32_t i) {
  return guarded([&] { backward(borrow(tensors, n), borrow(grads, g), retain, create, borrow(inputs, i)); });
}
// Writes one gradient for each input.
API bool tss_autograd_grad(void** outputs, int32_t n, void** inputs, int32_t i, void** grads, int32_t g, bool retain, bool create,
                           bool allow_unused, void** out) {
  return guarded([&] { give(grad(borrow(outputs, n), borrow(inputs, i), borrow(grads, g), retain, create, allow_unused), out); });
}

API bool tss_grad_enabled() { return c10::GradMode::is_enabled(); }
API void tss_set_grad_enabled(bool on) { c10::GradMode::set_enabled(on); }
API bool tss_inference_enabled() { return c10::InferenceMode::is_enabled(); }
API void* tss_inference_enter(bool on) { return new c10::InferenceMode(on); }
API void tss_inference_leave(void* guard) { delete static_cast<c10::InferenceMode*>(guard); }
API bool tss_anomaly_enabled() { return AnomalyMode::is_enabled(); }
API bool tss_anomaly_check_nan() { return AnomalyMode::should_check_nan(); }
API void tss_set_anomaly(bool on, bool check_nan) { AnomalyMode::set_enabled(on, check_nan); }

namespace {
// C#'s half of a node: `apply` takes ownership of n incoming gradients and gives m outgoing ones, or returns a text of its failure.
struct Managed {
  void* context;
  const char* (*apply)(void* context, void** grads, int32_t n, void** out, int32_t m);
  void (*release)(void* context);
};

struct ManagedNode : Node {
  Managed managed;
  std::vector<SavedVariable> saved;
  int32_t tensor_inputs = 0;
  std::shared_ptr<ManagedNode> keep;  // itself, while forward runs: the graph keeps it alive afterwards

  explicit ManagedNode(Managed m) : managed(m) {}
  ~ManagedNode() override { managed.release(managed.context); }
  std::string name() const override { return "ManagedFunctionBackward"; }
  void release_variables() override {
    for (auto& s : saved) s.reset_data();
  }
  variable_list apply(variable_list&& grads) override {
    at::OptionalDeviceGuard device_guard;
    std::vector<void*> in(grads.size()), out(tensor_inputs);
    give(std::move(grads), in.data());
    if (auto what = managed.apply(managed.context, in.data(), in.size(), out.data(), out.size())) throw std::runtime_error(what);
    variable_list result;
    for (auto p : out) {
      result.push_back(borrow(p));
      if (p) c10::intrusive_ptr<Impl, c10::UndefinedTensorImpl>::reclaim(static_cast<Impl*>(p));
    }
    return result;
  }
};
ManagedNode* node_of(void* p) { return static_cast<ManagedNode*>(p); }
}  // namespace

API void* tss_node_new(Managed managed, void** inputs, int32_t n) {
  ManagedNode* node = nullptr;
  guarded([&] {
    auto vars = borrow(inputs, n);
    auto made = std::shared_ptr<ManagedNode>(new ManagedNode(managed), deleteNode);
    made->tensor_inputs = n;
    made->set_next_edges(collect_next_edges(vars));
    made->keep = made;
    node = made.get();
  });
  return node;
}
// The end of forward: without an output that needs it, the node goes now.
API void tss_node_drop(void* node) { auto last = std::move(node_of(node)->keep); }

// Ties what forward returned to the node, which is null where no input requires grad: fresh tensors get it as their
// history, changed inputs are rebased on it.
API bool tss_node_wrap(void* node_, void** inputs, int32_t n, void** dirty, int32_t d, void** fixed, int32_t f, void** outputs, int32_t o, void** out) {
  return guarded([&] {
    c10::AutoGradMode no_grad(false);
    auto node = node_ ? std::static_pointer_cast<Node>(node_of(node_)->keep) : nullptr;
    std::unordered_set<void*> is_input(inputs, inputs + n), is_dirty(dirty, dirty + d), is_fixed(fixed, fixed + f);
    for (int32_t k = 0; k < d; k++) static_cast<Impl*>(dirty[k])->bump_version();
    for (int32_t k = 0; k < o; k++) {
      auto x = borrow(outputs[k]);
      if (!x.defined()) {
        if (node) node->add_input_metadata(Node::undefined_input());
      } else if (is_dirty.count(outputs[k])) {
        TORCH_CHECK(!x.is_leaf() || !x.requires_grad(), "a leaf Variable that requires grad has been used in an in-place operation.");
        if (node) impl::rebase_history(x, Edge{node, node->add_input_metadata(x)});
      } else {
        if (is_input.count(outputs[k])) x = x.view_as(x);
        bool differentiable = node && !is_fixed.count(outputs[k]) && isDifferentiableType(x.scalar_type());
        if (x.requires_grad()) x = x.detach();
        uint32_t nr = node ? node->add_input_metadata(x) : 0;
        if (differentiable) impl::set_gradient_edge(x, Edge{node, nr});
      }
      out[k] = give(x);
    }
  });
}
API bool tss_node_save(void* node, void** tensors, int32_t n) {
  return guarded([&] {
    auto self = node_of(node);
    self->saved.clear();
    for (auto& t : borrow(tensors, n)) self->saved.emplace_back(t, t.defined() && t.grad_fn().get() == self);
  });
}
API int32_t tss_node_saved_count(void* node) { return node_of(node)->saved.size(); }
API bool tss_node_saved(void* node, void** out) {
  return guarded([&] {
    for (auto& s : node_of(node)->saved) *out++ = give(s.unpack(node_of(node)->shared_from_this()));
  });
}
