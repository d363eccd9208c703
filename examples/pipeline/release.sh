#!/bin/sh
# Starts a rollout of the newest version and waits for its end.
#
# Usage: release.sh COMMAND-FUNCTION SPEC-FILE [WHO]. Needs the AWS command line and jq.
# Exit status: 0 promoted or nothing to roll out, 1 rolled back, 2 refused, 3 taken over by others, 4 the function failed.
set -eu

ask() {
  answer=$(mktemp)
  aws lambda invoke --function-name "$COMMAND" --cli-binary-format raw-in-base64-out --payload "$1" "$answer" > /dev/null || exit 4
  # An error of the function itself is no failure of the call.
  if [ "$(jq 'type == "object" and has("errorMessage") | not' < "$answer")" != true ]; then
    cat "$answer" >&2
    exit 4
  fi
  cat "$answer"
  rm -f "$answer"
}

COMMAND=$1
# The spec's text goes as it is, so nothing here need read YAML.
started=$(ask "$(jq -Rsc --arg by "${3:-pipeline}" '{command: "start", by: $by, spec: .}' < "$2")")
if [ "$(printf %s "$started" | jq 'has("errors")')" = true ]; then
  printf '%s\n' "$started" | jq -r '.errors[] | "\(.path): \(.message)"' >&2
  exit 2
fi
printf '%s\n' "$started" | jq -r .message
rollout=$(printf %s "$started" | jq -r '.id // empty')
[ -n "$rollout" ] || exit 0

failed=0
while :; do
  # The rollout goes on while it cannot be asked for a moment.
  if ! status=$(ask "$(jq -nc --arg id "$rollout" '{command: "status", rollout: $id}')"); then
    failed=$((failed + 1))
    [ "$failed" -lt 10 ] || exit 4
    sleep "${COALMINE_POLL_SECONDS:-30}"
    continue
  fi
  failed=0
  phase=$(printf %s "$status" | jq -r '.phase.name // empty')
  case $phase in
    promoted) code=0 ;;
    rolledBack) code=1 ;;
    superseded) code=3 ;;
    *) code= ;;
  esac
  if [ -n "$code" ]; then
    printf '%s\n' "$status" | jq -r .message
    exit "$code"
  fi
  sleep "${COALMINE_POLL_SECONDS:-30}"
done
