package main

import (
	"os"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/sbom"
)

// TestManualMetadata checks that the metadata file in the manual is one.
func TestManualMetadata(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "```json\n{\n  \"version\": 1,\n  \"packages\"")
	text, _, ok := strings.Cut("{\"version\": 1, \"packages\""+text, "```")
	if file, err := sbom.ParseMetadata([]byte(text)); !ok || err != nil || len(file) != 3 {
		t.Errorf("ParseMetadata(%s) = %d packages, %v; want 3", text, len(file), err)
	}
}
