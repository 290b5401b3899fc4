// The CRDs that the chart's monitors are held against. Nothing is built with this module.
module github.com/eventbaton/baton/scripts/chart/crds

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
