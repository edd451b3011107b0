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

// policy returns the Content-Security-Policy of the page. It allows only the page's own script and style, and no network.
func policy() string {
	return "default-src 'none'; script-src " + source(script) + "; style-src " + source(style) + "; base-uri 'none'; form-action 'none'"
}

// source returns the policy's name for an inline script or style: its hash.
func source(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
