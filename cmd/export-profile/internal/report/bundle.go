package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
)

var (
	//go:embed bundle.js
	script string
	//go:embed report.css
	style string
	//go:embed licences.txt
	licences string
)

// policy is what the page may do: run its own script and style, and nothing else. There is no network for it.
func policy() string {
	return "default-src 'none'; script-src " + source(script) + "; style-src " + source(style) + "; base-uri 'none'; form-action 'none'"
}

// source is how a policy names a script or style that is in the page itself.
func source(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
