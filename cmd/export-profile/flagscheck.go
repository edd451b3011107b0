package main

import (
	"time"

	"github.com/spf13/pflag"
)

// checkFlags say when the certificates of an image have to be valid.
type checkFlags struct{ time string }

func (c *checkFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.time, "check-time", "", "require certificates to be valid at `TIME`: RFC 3339, a date, seconds since the epoch, or now (default now)")
}

// unused refuses the flags without --check.
func (c *checkFlags) unused(check bool) error {
	if c.time != "" && !check {
		return usagef("add --check", "--check-time needs --check")
	}
	return nil
}

// at returns the time at which certificates have to be valid.
func (c *checkFlags) at() (time.Time, error) {
	if c.time == "" {
		return time.Now(), nil
	}
	return parseTime("--check-time", c.time)
}
