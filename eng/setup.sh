# Sourced by build.sh: installs from Debian what is missing, and builds the stand-ins' native part.
# shellcheck shell=bash disable=SC2154

dataset_package=dataset-fashion-mnist

# What the stand-ins are built from; eng/standins/README.md says what each is for.
stand_in_packages() {
    printf '%s\n' g++ cmake make libopenblas0-openmp libgdk-pixbuf-2.0-0
    [ -n "${LIBTORCH:-}" ] || echo libtorch-dev
}

missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

# 0 when apt can be used without a question; sets as_root to what goes before the command.
may_install() {
    as_root=()
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
    as_root=(sudo -n)
}

apt_install() {
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -o DPkg::Lock::Timeout=300)
    # Package lists that are missing or stale make the first try fail; they are worth one refresh, not one every run.
    "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null
}

install_command() {
    local prefix='sudo '
    [ "$(id -u)" -ne 0 ] || prefix=
    echo "${prefix}sh -c 'apt-get update && apt-get install -y --no-install-recommends $*'"
}

install_stand_in_packages() {
    local wanted missing
    mapfile -t wanted < <(stand_in_packages)
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian: expecting a C++ compiler, cmake, OpenBLAS, gdk-pixbuf and libtorch (LIBTORCH=/path) to be here."
        return
    fi
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! may_install; then
        printf '%s\n' "build.sh: the stand-ins need packages that it may not install here. Run this once, then build.sh again:" "" "    $(install_command "${missing[@]}")" "" >&2
        exit 1
    fi
    say "Installing from Debian: ${missing[*]}"
    apt_install "${missing[@]}" || fail "apt-get could not install them. Try: $(install_command "${missing[@]}")"
}

# The data is a convenience: without the package the subset in the repository is used.
install_dataset() {
    command -v dpkg-query >/dev/null || return 0
    [ -n "$(missing_packages $dataset_package)" ] || return 0
    if may_install; then
        say "Installing from Debian: $dataset_package"
        apt_install $dataset_package && return
    fi
    say "Without Debian's $dataset_package (here: $(install_command $dataset_package)) the 2,000 images in samples/Garments/data are used."
}

# The benchmarks compare with plain PyTorch where one can be had; without it they measure the library alone.
install_peer() {
    local python
    for python in python3 /usr/bin/python3; do
        ! "$python" -c 'import torch' 2>/dev/null || return 0
    done
    if command -v dpkg-query >/dev/null && may_install; then
        say "Installing from Debian, to compare with: python3-torch"
        apt_install python3-torch && return
    fi
    say "Without Debian's python3-torch (here: $(install_command python3-torch)) the benchmarks compare with nothing."
}

set_up_machine() {
    if [ "$package_source" = standins ]; then
        install_stand_in_packages
        bash eng/standins/native/build.sh
    fi
    install_dataset
}
