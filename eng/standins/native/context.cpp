// Generators, threads, the CUDA device and the switches of libtorch's global context.
#include "bridge.h"
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/version.h>

static at::Generator& generator_of(void* g) { return *static_cast<at::Generator*>(g); }

API void* tss_generator_new(uint64_t seed) { return new at::Generator(at::detail::createCPUGenerator(seed)); }
API void* tss_generator_default() { return new at::Generator(at::globalContext().defaultGenerator(at::kCPU)); }
API void tss_generator_free(void* g) { delete &generator_of(g); }
API void tss_generator_set_seed(void* g, int64_t seed) {
  std::lock_guard<std::mutex> lock(generator_of(g).mutex());
  generator_of(g).set_current_seed(seed);
}
API int64_t tss_generator_seed(void* g) { return generator_of(g).seed(); }
API int64_t tss_generator_initial_seed(void* g) { return generator_of(g).current_seed(); }
API void* tss_generator_get_state(void* g) {
  void* t = nullptr;
  guarded([&] { t = give(generator_of(g).get_state()); });
  return t;
}
API bool tss_generator_set_state(void* g, void* state) {
  return guarded([&] { generator_of(g).set_state(borrow(state)); });
}
API bool tss_manual_seed(int64_t seed) {
  return guarded([&] { at::manual_seed(seed); });
}

API bool tss_cuda_available() { return torch::cuda::is_available(); }
API bool tss_cudnn_available() { return torch::cuda::cudnn_is_available(); }
API int32_t tss_cuda_device_count() { return torch::cuda::device_count(); }
API bool tss_cuda_synchronize(int64_t index) {
  return guarded([&] { torch::cuda::synchronize(index); });
}
API bool tss_cuda_manual_seed(int64_t seed) {
  return guarded([&] { torch::cuda::manual_seed_all(seed); });
}

API int32_t tss_threads() { return at::get_num_threads(); }
API bool tss_set_threads(int32_t n) {
  return guarded([&] { at::set_num_threads(n); });
}
API int32_t tss_interop_threads() { return at::get_num_interop_threads(); }
API bool tss_set_interop_threads(int32_t n) {
  return guarded([&] { at::set_num_interop_threads(n); });
}

// The flags of torch.backends, numbered as in C#.
enum Flag : int32_t { CublasTf32, CudnnTf32, CublasHalfReduction, FlashAttention, MathAttention };
// A bool until libtorch 2.8, then an enumeration whose first value allows it.
static bool allowed(bool value) { return value; }
template <typename E>
static bool allowed(E value) { return static_cast<int>(value) == 0; }

template <typename C>
static auto allow(C& c, bool on, int) -> decltype(c.setAllowFP16ReductionCuBLAS(on, true)) { c.setAllowFP16ReductionCuBLAS(on, true); }
template <typename C>
static void allow(C& c, bool on, long) { c.setAllowFP16ReductionCuBLAS(on); }

API bool tss_flag(int32_t flag) {
  auto& c = at::globalContext();
  switch (flag) {
    case CublasTf32: return c.allowTF32CuBLAS();
    case CudnnTf32: return c.allowTF32CuDNN();
    case CublasHalfReduction: return allowed(c.allowFP16ReductionCuBLAS());
#if TORCH_VERSION_MAJOR >= 2
    case FlashAttention: return c.userEnabledFlashSDP();
    case MathAttention: return c.userEnabledMathSDP();
#endif
  }
  return flag == MathAttention;
}
API bool tss_set_flag(int32_t flag, bool on) {
  return guarded([&] {
    auto& c = at::globalContext();
    switch (flag) {
      case CublasTf32: c.setAllowTF32CuBLAS(on); break;
      case CudnnTf32: c.setAllowTF32CuDNN(on); break;
      case CublasHalfReduction: allow(c, on, 0); break;
#if TORCH_VERSION_MAJOR >= 2
      case FlashAttention: c.setSDPUseFlash(on); break;
      case MathAttention: c.setSDPUseMath(on); break;
#endif
    }
  });
}
API const char* tss_version() { return TORCH_VERSION; }
