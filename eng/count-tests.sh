#!/usr/bin/env bash
# Adds up the counters of the test runner's own result files. Usage: count-tests.sh FOLDER
# Prints 'N passed, N failed, N skipped'; exits 1 when a test failed or none ran.
set -euo pipefail

shopt -s nullglob
results=("$1"/*.trx)
passed=0 failed=0 total=0

counter() { sed -nE "s/.* $2=\"([0-9]+)\".*/\1/p" <<<"$1"; }

for file in "${results[@]}"; do
    line=$(grep -m 1 '<Counters ' "$file" || true)
    [ -n "$line" ] || continue
    total=$((total + $(counter "$line" total)))
    passed=$((passed + $(counter "$line" passed)))
    for kind in failed error timeout aborted; do
        failed=$((failed + $(counter "$line" $kind)))
    done
done

echo "$passed passed, $failed failed, $((total - passed - failed)) skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
