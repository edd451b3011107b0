package ocilayout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Healthcheck is the command by which Docker decides whether a container is healthy.
// The OCI image specification has no such field. BuildKit writes Docker's into the config of OCI images,
// and Docker reads it there. podman and Kubernetes ignore it.
type Healthcheck struct {
	// Test is CMD and the words of a command, or CMD-SHELL and one line for a shell.
	Test []string `json:",omitempty"`
	// Docker has defaults for durations and retries of zero.
	Interval      time.Duration `json:",omitempty"` // between two runs
	Timeout       time.Duration `json:",omitempty"` // after which a run has failed
	StartPeriod   time.Duration `json:",omitempty"` // in which failures do not count
	StartInterval time.Duration `json:",omitempty"` // between two runs in the StartPeriod
	Retries       int           `json:",omitempty"` // failures in a row that make a container unhealthy
}

// First words of Healthcheck.Test.
const (
	HealthCommand = "CMD"
	HealthShell   = "CMD-SHELL"
	HealthNone    = "NONE" // no check, not even the one that an image below has
)

// configDocument is an image's config. It has the fields of [ispec.Image] in their order, so that its JSON is the same
// for an image without a health check.
type configDocument struct {
	Created *time.Time `json:"created,omitempty"`
	Author  string     `json:"author,omitempty"`
	ispec.Platform
	Config  healthConfig    `json:"config,omitempty"`
	RootFS  ispec.RootFS    `json:"rootfs"`
	History []ispec.History `json:"history,omitempty"`
}

type healthConfig struct {
	ispec.ImageConfig
	Healthcheck *Healthcheck `json:",omitempty"`
}

func newConfigDocument(i ispec.Image, h *Healthcheck) configDocument {
	return configDocument{
		Created: i.Created, Author: i.Author, Platform: i.Platform,
		Config: healthConfig{i.Config, h}, RootFS: i.RootFS, History: i.History,
	}
}

// readHealthcheck returns the health check in an image's config, or nil if there is none.
// If the config has a shell for it, the result names that shell: an image on top has no field for it.
func readHealthcheck(config []byte) (*Healthcheck, error) {
	var image struct {
		Config struct {
			Healthcheck *Healthcheck
			Shell       []string
		} `json:"config"`
	}
	if err := json.Unmarshal(config, &image); err != nil {
		return nil, err
	}
	h := image.Config.Healthcheck
	if h == nil || len(h.Test) == 0 || h.Test[0] == HealthNone {
		return nil, nil
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	if shell := image.Config.Shell; h.Test[0] == HealthShell && len(shell) > 0 {
		h.Test = slices.Concat([]string{HealthCommand}, shell, h.Test[1:])
	}
	return h, nil
}

// leastInterval is the shortest duration that Docker accepts, except zero.
const leastInterval = time.Millisecond

// Check refuses a health check that Docker would not run.
func (h *Healthcheck) Check() error {
	switch {
	case len(h.Test) == 0:
		return errors.New("health check: no command")
	case h.Test[0] != HealthCommand && h.Test[0] != HealthShell:
		return fmt.Errorf("health check %q: want %s or %s first", h.Test, HealthCommand, HealthShell)
	case len(h.Test) < 2 || h.Test[1] == "":
		return errors.New("health check: no command")
	case h.Test[0] == HealthShell && len(h.Test) > 2:
		return fmt.Errorf("health check %q: want one line for the shell", h.Test)
	case h.Retries < 0:
		return fmt.Errorf("health check: %d retries", h.Retries)
	}
	for _, d := range []time.Duration{h.Interval, h.Timeout, h.StartPeriod, h.StartInterval} {
		if d != 0 && d < leastInterval {
			return fmt.Errorf("health check: a duration of %v, want at least %v", d, leastInterval)
		}
	}
	return nil
}
