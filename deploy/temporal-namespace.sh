#!/bin/sh
# Makes the consortium's namespace and the search attributes that its workflows set; running it again changes nothing.
set -eu
until temporal operator cluster health; do sleep 2; done
temporal operator namespace describe -n consortium || temporal operator namespace create -n consortium --retention 720h
temporal operator search-attribute create -n consortium \
  --name Phase --type Keyword --name WaitsFor --type KeywordList --name Due --type Datetime --name Attention --type Bool
