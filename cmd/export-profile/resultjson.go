package main

import (
	"encoding/json"
	"io"

	"github.com/export-profile/export-profile/profile"
)

// contents is the part of a --json result about the closure that was written.
type contents struct {
	Profiles []profile.Path `json:"profiles"`
	Paths    int            `json:"paths"`   // store paths of the closure
	NarSize  int64          `json:"narSize"` // bytes of the closure
	Env      []string       `json:"env"`
}

func (a *assembled) contents() contents {
	return contents{Profiles: a.closure.Roots, Paths: len(a.closure.Infos), NarSize: a.closure.Size(), Env: a.base.Env}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
