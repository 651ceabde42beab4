#!/usr/bin/env bash
# Builds artifacts/native/libtorchstandin.so for the TorchSharp stand-in; does nothing when it is up to date.
# LIBTORCH=/path takes another libtorch than the system's: a CUDA one brings CUDA.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "$here/../../.." && pwd)/artifacts/native
libtorch=${LIBTORCH:-}
lib=$out/libtorchstandin.so

if [ -f "$lib" ] && [ "$(cat "$out/libtorch" 2>/dev/null || true)" = "$libtorch" ] && [ -z "$(find "$here" -type f -newer "$lib")" ]; then
  exit 0
fi
mkdir -p "$out"
exec 9>"$out/lock"
flock 9

c10=$libtorch/lib/libc10.so
if [ -z "$libtorch" ]; then
  c10=$(ls /usr/lib/*/libc10.so /usr/lib/libc10.so /usr/local/lib/libc10.so 2>/dev/null | head -1 || true)
fi
if [ ! -e "$c10" ] || ! command -v cmake g++ >/dev/null; then
  echo "The TorchSharp stand-in needs cmake, g++ and libtorch: install the packages cmake, g++, libtorch-dev and libopenblas0-openmp, or set LIBTORCH to an unpacked libtorch." >&2
  exit 1
fi
# Builds of libtorch before 2.6 for Python's wheels use the old std::string.
abi=1
grep -q 'ErrorC1ENS_14SourceLocationESs' "$c10" && abi=0

echo "Building $(basename "$lib") over ${libtorch:-the libtorch of the system}; about a minute." >&2
cmake -S "$here" -B "$out/build" -DLIBTORCH="$libtorch" -DLIBTORCH_CXX11_ABI=$abi -DCMAKE_BUILD_TYPE=None >"$out/cmake.log" || { cat "$out/cmake.log" >&2; exit 1; }
cmake --build "$out/build" -j "$(nproc)" >"$out/build.log" 2>&1 || { tail -50 "$out/build.log" >&2; exit 1; }
cp "$out/build/libtorchstandin.so" "$lib.new"
mv "$lib.new" "$lib"
printf %s "$libtorch" >"$out/libtorch"
