// Package elt holds the sample project that stands at the root of this
// repository, so that `elt init` gives a user the same to start from.
package elt

import "embed"

// Sample is the shop: elt.yaml, its models and its data.
//
//go:embed elt.yaml models testdata/shop
var Sample embed.FS
