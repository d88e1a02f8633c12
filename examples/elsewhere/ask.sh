#!/bin/sh
# A question from a shell: `ask.sh KEY QUESTION` ends with 0 at a yes, else not. KEY names the
# question: the same one is asked once. Needs HITL_URL, HITL_KEY (scope `ask`).
set -eu
requests="$HITL_URL/api/hitl/requests"
call() { curl -sS --fail-with-body -H "Authorization: Bearer $HITL_KEY" "$@"; }
body=$(printf '{"payload": "%s", "originAgent": "deploy script"}' "$2")
asked=$(call "$requests" -H "Content-Type: application/json" -H "Idempotency-Key: $1" -d "$body")
id=$(echo "$asked" | sed 's/^{"requestId":"\([^"]*\)".*/\1/')
while :; do
  shown=$(call "$requests/$id?wait=60")
  case $shown in
    *'"answer":true,"refusal":null}') echo yes; exit 0 ;;
    *'"answer":null,"refusal":null}') ;; # nobody has answered yet
    *) echo no; exit 1 ;;
  esac
done
