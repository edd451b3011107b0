package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	may := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2024-05-01": may, "2024-05-01T02:00:00+02:00": may, "2024-05-01T00:00:00Z": may, "1714521600": may, "@1714521600": may,
		"2024-02-30": {}, "2024-5-1": {}, "2024-05-01 12:00": {}, "20240501T000000Z": {}, "@": {}, "-1": {}, "@-1": {}, "yesterday": {},
	} {
		got, err := parseTime("--created", s)
		if !got.Equal(want) || (err == nil) == want.IsZero() {
			t.Errorf("parseTime(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}

// TestConfigText checks that text must be UTF-8: in JSON, different values would become the same.
func TestConfigText(t *testing.T) {
	for flag, c := range map[string]configFlags{
		"--env":        {env: []string{"A=a", "B=\xff"}},
		"--entrypoint": {entrypoint: "\xff"},
		"--cmd":        {cmd: "[\"a\", \"\xff\"]"},
		"--workdir":    {workdir: "/\xff"},
		"--label":      {labels: []string{"\xff=a"}},
		"--volume":     {volumes: []string{"/a", "/\xff"}},
		"--author":     {author: "\xff"},
		"--os-version": {osVersion: "\xff"},
		"--os-feature": {osFeatures: []string{"\xff"}},
	} {
		_, err := c.config()
		var usage *usageError
		if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), flag) || !strings.HasSuffix(err.Error(), ": not UTF-8") {
			t.Errorf("config() with %s: %v; want a usage error", flag, err)
		}
	}
	if _, err := parsePairs("--annotation", []string{"a=\xff"}); err == nil {
		t.Error("parsePairs accepted text that is not UTF-8")
	}
	if n, err := parseImageFile([]byte("{\"a\": \"\xff\"}")); err == nil {
		t.Errorf("parseImageFile accepted text that is not UTF-8: %q", n.items[0].text)
	}
	if _, err := (&configFlags{env: []string{"A=ü\ufffd"}}).config(); err != nil {
		t.Error(err)
	}
}
