    # A bare container has the SDK without the ICU that it would like to have; nothing here needs ICU.
    if [ -z "${DOTNET_SYSTEM_GLOBALIZATION_INVARIANT:-}" ] && ! { dotnet --version >/dev/null 2>&1; } 2>/dev/null; then
        export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
    fi
    dotnet --version >/dev/null 2>&1 || fail# Sourced by build.sh: messages, and the dotnet command.
# shellcheck shell=bash disable=SC2154

say() { printf '==> %s\n' "$*"; }

fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

# A bare container may have no home to keep packages in.
ensure_home() {
    if [ -z "${HOME:-}" ] || ! mkdir -p "$HOME" 2>/dev/null || [ ! -w "$HOME" ]; then
        export HOME="$root/artifacts/home"
        mkdir -p "$HOME"
    fi
}

find_dotnet() {
    ensure_home
    export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE=true DOTNET_GENERATE_ASPNET_CERTIFICATE=false
    local place
    if ! command -v dotnet >/dev/null; then
        for place in "${DOTNET_ROOT:-}" "$HOME/.dotnet" /usr/share/dotnet /usr/lib/dotnet /usr/local/share/dotnet /opt/dotnet; do
            if [ -n "$place" ] && [ -x "$place/dotnet" ]; then
                export DOTNET_ROOT="$place" PATH="$place:$PATH"
                break
            fi
        done
    fi
    command -v dotnet >/dev/null || fail "the .NET 10 SDK is not here: install it (https://dot.net) and put 'dotnet' on the PATH."
    dotnet --version >/dev/null 2>&1 || fail "'dotnet' is here, but not an SDK that fits global.json: install the .NET 10 SDK. It says: $(dotnet --version 2>&1 | head -n 1)"
}

# The value that -p:NAME=… was given, or nothing.
property() {
    local name=$1 entry value=
    for entry in ${properties[@]+"${properties[@]}"}; do
        case $entry in
            "-p:$name="*) value=${entry#*=} ;;
        esac
    done
    printf '%s' "$value"
}

# Replaces a file in one move, so that no reader meets half of it.
write_file() {
    local target=$1 draft
    draft=$(mktemp "$target.XXXXXX")
    cat >"$draft"
    chmod 644 "$draft"
    mv -f "$draft" "$target"
}
