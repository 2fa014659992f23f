# For scripts that take a few Debian packages from where this machine gets its own, without installing anything: sourced, not run.

# debian_apt STATE SUITE COMPONENT
# Sets the array 'apt' to an apt-get with state of its own below the folder STATE, whose source is the machine's own Debian entry (the one that has the suite that the
# system itself is of), with its address, proxy and key, but another suite and component. Both formats of apt are read.
# Fails with a reason in 'debian_reason'.
debian_apt() {
    local state=$1 suite=$2 component=$3 own file tool
    for tool in apt-get dpkg-deb awk; do
        command -v "$tool" >/dev/null || { debian_reason="$tool is missing: this is not Debian or one of its relatives."; return 1; }
    done

    [[ $(dpkg --print-architecture) == amd64 ]] || { debian_reason="the packages are for x86-64, this is $(dpkg --print-architecture)."; return 1; }
    own=$(. /etc/os-release && [[ ${ID:-} == debian ]] && echo "${VERSION_CODENAME:-}") || { debian_reason="this is not Debian."; return 1; }
    [[ $suite == own ]] && suite=$own
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    rm -f "$state"/source.*
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -e $file ]] || continue
        awk -v suite="$own" 'BEGIN { RS = ""; ORS = "\n\n" } $0 ~ "(^|\n)Suites:[^\n]* " suite "( |\n|$)" && !/(^|\n)Enabled: *no/ { print; exit }' "$file" |
            sed -e "s/^Suites:.*/Suites: $suite/" -e "s/^Components:.*/Components: $component/" -e 's/^Types:.*/Types: deb/' >"$state/source.sources"
        [[ -s $state/source.sources ]] && break
    done

    if [[ ! -s $state/source.sources ]]; then
        rm -f "$state/source.sources"
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
            awk -v own="$own" -v suite="$suite" -v component="$component" '$1 == "deb" {
                address = 2
                options = ""
                if ($2 ~ /^\[/) {
                    while (address < NF && $address !~ /\]$/) { options = options " " $address; address += 1 }
                    options = options " " $address
                    address += 1
                }
                if ($(address + 1) == own) { print "deb" options, $address, suite, component; exit }
            }' >"$state/source.list"
        [[ -s $state/source.list ]] || { debian_reason="apt has no source of $own to take the address from."; return 1; }
    fi

    local sources=("$state"/source.*)
    apt=(apt-get -qq
        -o "Dir::Etc::sourcelist=${sources[0]}" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::Lists=$state/lists" -o "Dir::Cache::archives=$state/archives" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
        -o APT::Update::Error-Mode=any -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)
    [[ $(id -u) -ne 0 ]] || apt+=(-o APT::Sandbox::User=root)
    "${apt[@]}" update >"$state/log" 2>&1 || { debian_reason="the package list cannot be fetched: $(tail -n 3 "$state/log" | tr '\n' ' ')"; return 1; }
}
