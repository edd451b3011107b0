package ocilayout

import _ "embed" // the manual

// Readme is this package's README, the part of the manual about layers, the cache and registries.
//
//go:embed README.md
var Readme string
