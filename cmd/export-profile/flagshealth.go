package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
)

// healthFlags become the image's health check. Their names are those of buildah.
type healthFlags struct {
	command                        string
	interval, timeout, startPeriod string
	retries                        int
}

func (h *healthFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&h.command, "healthcheck", "", "have Docker run `COMMAND` to see whether the container is healthy: a line for /bin/sh, a JSON array of words, or none")
	fs.StringVar(&h.interval, "healthcheck-interval", "", "run the health check every `TIME`, such as 10s (default 30s)")
	fs.StringVar(&h.timeout, "healthcheck-timeout", "", "let a health check fail after `TIME`, such as 3s (default 30s)")
	fs.StringVar(&h.startPeriod, "healthcheck-start-period", "", "ignore failed health checks in the first `TIME`, such as 1m")
	fs.IntVar(&h.retries, "healthcheck-retries", 0, "call the container unhealthy after `N` failures in a row (default 3)")
}

// health is what the flags say about the health check.
type health struct {
	check ocilayout.Healthcheck // without a Test if only the others are given
	none  bool                  // also no inherited one
}

const healthExample = `as in --healthcheck 'curl -f http://localhost:8080/' or --healthcheck '["curl", "-f", "http://localhost:8080/"]'`

// parse parses the flags.
func (h *healthFlags) parse() (p health, err error) {
	if err := checkText("--healthcheck", h.command); err != nil {
		return p, err
	}
	for _, d := range []struct {
		flag, word string
		to         *time.Duration
	}{
		{"--healthcheck-interval", h.interval, &p.check.Interval},
		{"--healthcheck-timeout", h.timeout, &p.check.Timeout},
		{"--healthcheck-start-period", h.startPeriod, &p.check.StartPeriod},
	} {
		if d.word == "" {
			continue
		}
		if *d.to, err = time.ParseDuration(d.word); err != nil || *d.to < time.Millisecond {
			return p, usagef(fmt.Sprintf("as in %s 30s", d.flag), "%s %q: want a duration of at least 1ms", d.flag, d.word)
		}
	}
	if p.check.Retries = h.retries; h.retries < 0 {
		return p, usagef("as in --healthcheck-retries 3", "--healthcheck-retries %d: want at least 1", h.retries)
	}
	word, rest, _ := strings.Cut(h.command, " ")
	switch {
	case strings.EqualFold(h.command, ocilayout.HealthNone):
		p.none = true
	case h.command == "":
	case strings.HasPrefix(h.command, "["):
		words, err := parseWords("--healthcheck", h.command)
		if err != nil {
			return p, err
		}
		if slices.Equal(words, []string{ocilayout.HealthNone}) { // as Docker writes it
			p.none = true
			break
		}
		p.check.Test = words
		if len(words) == 0 || !slices.Contains([]string{ocilayout.HealthCommand, ocilayout.HealthShell}, words[0]) {
			p.check.Test = append([]string{ocilayout.HealthCommand}, words...)
		}
	case word == ocilayout.HealthCommand || word == ocilayout.HealthShell:
		return p, usagef("leave out "+word+", or write a JSON array of words", "--healthcheck %q: /bin/sh would run a program named %s", h.command, word)
	case strings.TrimSpace(word+rest) == "":
		return p, usagef(healthExample, "--healthcheck %q: no command", h.command)
	default:
		p.check.Test = []string{ocilayout.HealthShell, h.command}
	}
	if p.none && p.timed() {
		return p, usagef("leave out the others", "--healthcheck none: there is nothing for the other --healthcheck flags")
	}
	if p.check.Test != nil {
		if err := p.check.Check(); err != nil {
			return p, usagef(healthExample, "--healthcheck: %v", err)
		}
	}
	return p, nil
}

// timed reports whether flags besides --healthcheck are given.
func (p health) timed() bool {
	c := p.check
	return c.Interval != 0 || c.Timeout != 0 || c.StartPeriod != 0 || c.Retries != 0
}

// over returns the image's health check. A command replaces the base image's check with its times;
// times without a command change those of the base image's check.
func (p health) over(base *ocilayout.Healthcheck) (*ocilayout.Healthcheck, error) {
	switch {
	case p.none:
		return nil, nil
	case p.check.Test != nil:
		return &p.check, nil
	case !p.timed():
		return base, nil
	case base == nil:
		return nil, usagef(healthExample, "the --healthcheck flags have no command, and there is no health check to change")
	}
	merged := *base
	for _, d := range []struct{ own, to *time.Duration }{
		{&p.check.Interval, &merged.Interval}, {&p.check.Timeout, &merged.Timeout}, {&p.check.StartPeriod, &merged.StartPeriod},
	} {
		if *d.own != 0 {
			*d.to = *d.own
		}
	}
	if p.check.Retries != 0 {
		merged.Retries = p.check.Retries
	}
	return &merged, nil
}
