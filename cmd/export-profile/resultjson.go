package main

import (
	"encoding/json"
	"io"
)

// contents are the part of every --json result that says what was written.
type contents struct {
	Profiles []string `json:"profiles"` // store paths
	Paths    int      `json:"paths"`    // store paths of the closure
	NarSize  int64    `json:"narSize"`  // bytes of the closure
	Env      []string `json:"env"`
}

func (a *assembled) contents() contents {
	c := contents{Paths: len(a.closure.Infos), NarSize: a.closure.Size(), Env: a.base.Env}
	for _, p := range a.closure.Roots {
		c.Profiles = append(c.Profiles, string(p))
	}
	return c
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
