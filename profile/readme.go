package profile

import _ "embed" // the manual

// Readme is this package's README, the part of the manual about sources and formats.
//
//go:embed README.md
var Readme string
