#!/usr/bin/env bash
# Sets the machine up, builds, and does what it is told. ./build.sh --help
set -euo pipefail

caller=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
# shellcheck source=eng/common.sh
. eng/common.sh
# shellcheck source=eng/source.sh
. eng/source.sh
# shellcheck source=eng/setup.sh
. eng/setup.sh

usage() {
    cat <<'HELP'
Usage: ./build.sh [COMMAND] [OPTIONS] [ARGUMENTS]

Does all the set-up that is still missing, builds in Release, then runs the command.
Nothing but the .NET 10 SDK is needed beforehand.

Commands
  (none)    restore and build
  sample    train on Fashion-MNIST, leave pictures and a model in artifacts/sample,
            then generate the same pictures again in a second process
            arguments go to the program: --minutes 1, --images FOLDER, --help
  test      run every test; arguments go to 'dotnet test': --filter TestCategory=Parity
  bench     measure: operators and steps, whole processes in turn with plain PyTorch, growth of the cost;
            tables and a picture in artifacts/bench. --quick, --filter '*Loader*', --no-peer, --parts paired,
            --publish README.md; --help lists the rest
            bench --quality: ten minutes of training on both sides, then the distance of what comes out
            bench --samplers: sampler x steps -> distance and time with the sample's model, into docs/samplers.md
  pack      make the NuGet package in artifacts/packages
  setup     the set-up alone
  source    only decide where the packages come from

Options
  -p:NAME=VALUE   an MSBuild property for every dotnet command, among them
                  -p:DiffusionPackageSource=nuget|standins   do not ask the feed
                  -p:TorchBackend=cuda-linux                 run on TorchSharp-cuda-linux
  --feed SOURCE   a further package source (a folder or an address) beside the configured ones;
                  the environment variable RestoreAdditionalProjectSources does the same
  --ask-again     ask the feed even if its answer is known
  --help          this text

Environment
  LIBTORCH        with the stand-ins: the libtorch to build against, instead of Debian's libtorch-dev
HELP
}

command=build
if [ $# -gt 0 ]; then
    case $1 in
        sample | test | bench | pack | setup | source | build) command=$1; shift ;;
        -h | --help | help) usage; exit 0 ;;
        -*) ;;
        *) fail "unknown command '$1'. ./build.sh --help lists them." ;;
    esac
fi

properties=()
arguments=()
ask_again=false
while [ $# -gt 0 ]; do
    case $1 in
        -p:RestoreAdditionalProjectSources=*) add_feed "${1#*=}" ;;
        -p:* | /p:* | --property:* | -property:*) properties+=("-p:${1#*:}") ;;
        --feed) [ $# -gt 1 ] || fail "--feed needs a folder or an address."; add_feed "$2"; shift ;;
        --feed=*) add_feed "${1#*=}" ;;
        --ask-again) ask_again=true ;;
        --) arguments+=("$@"); break ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
case $command:${arguments[0]-} in
    build:-h | build:--help | pack:--help | setup:--help | source:--help) usage; exit 0 ;;
esac

find_dotnet
choose_source
[ "$command" != source ] || exit 0
set_up_machine
[ "$command" != setup ] || exit 0

solution=Microsoft.ML.Diffusion.sln
release=(-c Release "${properties[@]}")

case $command in
    build)
        dotnet build "$solution" "${release[@]}" -v minimal "${arguments[@]}"
        ;;
    test)
        results=artifacts/test-results
        rm -rf "$results"
        dotnet build "$solution" "${release[@]}" -v minimal
        dotnet test "$solution" "${release[@]}" --no-build --results-directory "$results" --logger "trx;LogFilePrefix=results" "${arguments[@]}"
        ;;
    pack)
        dotnet pack src/Microsoft.ML.Diffusion "${release[@]}" -p:ContinuousIntegrationBuild=true -o artifacts/packages "${arguments[@]}"
        ;;
    sample)
        dotnet build samples/Garments "${release[@]}" -v quiet
        # Paths on the command line are the caller's; only the default is the repository's.
        case " ${arguments[*]-} " in
            *" --output"* | *" generate "* | *" --help "* | *" -h "*) ;;
            *) arguments+=(--output "$root/artifacts/sample") ;;
        esac
        cd "$caller"
        dotnet run --project "$root/samples/Garments" -c Release --no-build ${properties[@]+"${properties[@]}"} -- "${arguments[@]}"
        ;;
    bench)
        case " ${arguments[*]-} " in
            *" --no-peer "* | *" --help "* | *" --filter"* | *samplers*) ;;
            *) install_peer ;;
        esac
        dotnet build test/Microsoft.ML.Diffusion.Benchmarks "${release[@]}" -v quiet
        dotnet run --project test/Microsoft.ML.Diffusion.Benchmarks -c Release --no-build ${properties[@]+"${properties[@]}"} -- ${arguments[@]+"${arguments[@]}"}
        ;;
esac
