#!/usr/bin/env bash
# Copy the files of this system that the job needs into a folder. Each is named, so that no shell, package manager or
# download tool is copied. Python is in /usr/local in Docker's image, in /usr in Debian's, so a pattern may match nothing.
set -euo pipefail
shopt -s nullglob

root=$1
cd /
mkdir -p "$root/var/lib/dpkg"
install -d -m 1777 "$root/tmp"
# Hard links, because a copy would be written only to be copied again.
cp -al --parents -t "$root" \
    lib lib[6]4 usr/lib[6]4 usr/lib/*-linux-gnu* usr/lib/ssl usr/lib/os-release \
    usr/bin/python[3] usr/bin/python3.[0-9][0-9] usr/lib/python3.[0-9][0-9] \
    usr/local/bin/python[3] usr/local/bin/python3.[0-9][0-9] usr/local/lib/libpython3* usr/local/lib/python3.[0-9][0-9] \
    usr/share/zoneinfo usr/share/ca-certificates etc/ssl \
    etc/passwd etc/group etc/nsswitch.conf etc/os-release etc/debian_version etc/ld.so.* \
    opt/venv app/{extract,models,macros,seeds,tests,dbt_project.yml,profiles.yml,partial_parse.msgpack}
rm -rf "$root"/usr/{,local/}lib/python3.*/{ensurepip,idlelib,pydoc_data,turtledemo,tkinter,test,config-3*} \
    "$root"/usr/{,local/}lib/python3.*/{dist,site}-packages "$root"/usr/lib/*/{perl*,gconv,libapt*,libperl*}

# dpkg's list of the packages that are copied: with the whole list, a scanner would report faults of the others.
for list in var/lib/dpkg/info/*.list; do
    package=$(basename "$list" .list)
    while read -r path; do
        if [ -f "$path" ] && [ -f "$root$path" ]; then
            { dpkg-query --status "$package"; echo; } >> "$root/var/lib/dpkg/status"
            cp -aL --parents -t "$root" "usr/share/doc/${package%%:*}/copyright"
            break
        fi
    done < "$list"
done
