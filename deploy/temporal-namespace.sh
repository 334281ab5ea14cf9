#!/bin/sh
# Makes the namespace, and the search attributes without which no workflow starts. Run at every start; what is there stays.
set -eu

# A new namespace is known to every part of the server only after some seconds.
patiently() {
  attempt=1
  until "$@"; do
    [ "$attempt" -lt 60 ] || exit 1
    attempt=$((attempt + 1))
    sleep 1
  done
}

patiently temporal operator cluster health
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
patiently temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" \
  --name Phase --type Keyword --name WaitsFor --type KeywordList --name Due --type Datetime --name Attention --type Bool
