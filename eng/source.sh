# Sourced by build.sh: asks the feed once whether it carries the mission's packages and keeps the answer
# in eng/PackageSource.props, which every later dotnet command reads.
# shellcheck shell=bash disable=SC2154

source_file=eng/PackageSource.props

add_feed() {
    local feed=$1
    # A folder may be given from where the caller stands.
    case $feed in
        /* | *://*) ;;
        *) feed=$caller/$feed ;;
    esac
    export RestoreAdditionalProjectSources="${RestoreAdditionalProjectSources:+$RestoreAdditionalProjectSources;}$feed"
}

escape_xml() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g'; }

# What the answer depends on: the sources, and the versions asked for.
source_fingerprint() {
    {
        dotnet nuget list source --format Short 2>/dev/null || true
        printf '%s\n' "${RestoreAdditionalProjectSources:-}" "${RestoreSources:-}" ${properties[@]+"${properties[@]}"}
        cat Directory.Packages.props
    } | cksum | tr ' ' '-'
}

# Restores the mission's packages into an empty folder: 0 they are there, 1 the feed lacks one or has other versions of it, 2 it gave no answer.
probe_feed() {
    local scratch log status=0
    scratch=$(mktemp -d)
    log="$scratch/restore.log"
    dotnet restore eng/PackageProbe/PackageProbe.csproj ${properties[@]+"${properties[@]}"} \
        -p:AskingFeed=true -p:DiffusionPackageSource=nuget "-p:RestorePackagesPath=$scratch/packages" "-p:MSBuildProjectExtensionsPath=$scratch/obj/" \
        -v quiet >"$log" 2>&1 || status=1
    if [ $status -ne 0 ] && ! grep -qE 'NU110[1-3]' "$log"; then
        status=2
        grep -m 3 -E 'error' "$log" >&2 || tail -n 3 "$log" >&2
    fi
    rm -rf "$scratch"
    return $status
}

write_source() {
    local choice=$1 fingerprint=$2 feeds
    feeds=$(printf '%s' "${RestoreAdditionalProjectSources:-}" | escape_xml)
    {
        echo '<Project>'
        echo "  <!-- Written by build.sh; delete it to have the feed asked again. Asked: $fingerprint -->"
        echo '  <PropertyGroup>'
        echo "    <DiffusionPackageSource Condition=\"'\$(DiffusionPackageSource)' == ''\">$choice</DiffusionPackageSource>"
        [ -z "$feeds" ] || echo "    <RestoreAdditionalProjectSources Condition=\"'\$(RestoreAdditionalProjectSources)' == ''\">$feeds</RestoreAdditionalProjectSources>"
        echo '  </PropertyGroup>'
        echo '</Project>'
    } | write_file "$source_file"
}

describe_source() {
    case $1 in
        nuget) echo "Microsoft.ML, Microsoft.ML.ImageAnalytics and TorchSharp from NuGet" ;;
        standins) echo "the stand-ins in eng/standins for Microsoft.ML and TorchSharp" ;;
    esac
}

# Sets package_source to 'nuget' or 'standins'.
choose_source() {
    local fingerprint status=0
    package_source=$(property DiffusionPackageSource)
    [ -n "$package_source" ] || package_source=${DiffusionPackageSource:-}
    case $package_source in
        nuget | standins)
            say "Packages: $(describe_source "$package_source"), as asked."
            write_source "$package_source" "no, it was set by hand"
            return
            ;;
        '') ;;
        *) fail "DiffusionPackageSource is '$package_source'; it can be 'nuget' or 'standins'." ;;
    esac

    fingerprint=$(source_fingerprint)
    if [ "$ask_again" = false ] && grep -qsF "Asked: $fingerprint " "$source_file"; then
        package_source=$(sed -n 's/.*<DiffusionPackageSource[^>]*>\([a-z]*\)<.*/\1/p' "$source_file")
        say "Packages: $(describe_source "$package_source"), as found before."
        return
    fi

    probe_feed || status=$?
    case $status in
        0) package_source=nuget; say "Packages: the feed carries them; taking $(describe_source nuget)." ;;
        1) package_source=standins; say "Packages: the feed does not carry them; taking $(describe_source standins)." ;;
        *)
            # No answer is not kept: the next run asks again.
            fingerprint="no, the feed gave no answer"
            if [ -f "$source_file" ]; then
                package_source=$(sed -n 's/.*<DiffusionPackageSource[^>]*>\([a-z]*\)<.*/\1/p' "$source_file")
            fi
            package_source=${package_source:-standins}
            say "Packages: the feed gave no answer; going on with $(describe_source "$package_source")."
            ;;
    esac
    write_source "$package_source" "$fingerprint"
}
