package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"
)

// configFlags become an image's config. Their names are those of podman, buildah and umoci.
// Repeatable flags never split at commas.
type configFlags struct {
	env        []string
	entrypoint string
	cmd        string
	workdir    string
	labels     []string
	expose     []string
	volumes    []string
	stopSignal string
	author     string
	osVersion  string
	osFeatures []string
	health     healthFlags
}

func (c *configFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&c.env, "env", nil, "`NAME=VALUE` set an environment variable, or replace a default such as PATH; repeatable")
	fs.StringVar(&c.entrypoint, "entrypoint", "", "run `COMMAND`: a word, or a JSON array of words")
	fs.StringVar(&c.cmd, "cmd", "", "pass `ARGS` to the entrypoint by default: a word, or a JSON array of words")
	workdirFlag(fs, &c.workdir)
	fs.StringArrayVar(&c.labels, "label", nil, "`KEY=VALUE` label the image; repeatable")
	fs.StringArrayVar(&c.expose, "expose", nil, "`PORT[/PROTOCOL]` declare a port that the image listens on; repeatable")
	fs.StringArrayVar(&c.volumes, "volume", nil, "declare that `DIR` is a volume; repeatable")
	fs.StringVar(&c.stopSignal, "stop-signal", "", "stop the image with `SIGNAL`, such as SIGTERM or 15")
	fs.StringVar(&c.author, "author", "", "record `NAME` as the image's author")
	fs.StringVar(&c.osVersion, "os-version", "", "declare that the image needs `VERSION` of its operating system")
	fs.StringArrayVar(&c.osFeatures, "os-feature", nil, "declare that the image needs `FEATURE` of its operating system; repeatable")
	c.health.flags(fs)
}

// workdirFlag adds --workdir, also for commands that only need to know which directories the image has.
func workdirFlag(fs *pflag.FlagSet, dir *string) {
	fs.StringVar(dir, "workdir", "", "start in `DIR`; if it does not exist, make it for the image's user")
}

func parseWorkdir(dir string) (string, error) {
	switch {
	case dir == "":
		return "", nil
	case !path.IsAbs(dir):
		return "", usagef("as in --workdir /srv", "--workdir %q: not an absolute path", dir)
	}
	return path.Clean(dir), nil
}

// config parses the flags. The checks are those of the OCI image spec (config.md).
func (c *configFlags) config() (config ispec.ImageConfig, err error) {
	for _, e := range c.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return config, usagef("as in --env LANG=C.UTF-8", "--env %q: want NAME=VALUE", e)
		}
	}
	config.Env = mergeEnv(nil, c.env)
	if config.Entrypoint, err = parseWords("--entrypoint", c.entrypoint); err != nil {
		return config, err
	}
	if config.Cmd, err = parseWords("--cmd", c.cmd); err != nil {
		return config, err
	}
	if err := c.checkTexts(config); err != nil {
		return config, err
	}
	// An argument may be empty, but not the program.
	for _, command := range []struct {
		flag  string
		words []string
	}{{"--entrypoint", config.Entrypoint}, {"--cmd", append(slices.Clone(config.Entrypoint), config.Cmd...)}} {
		if len(command.words) > 0 && command.words[0] == "" {
			return config, usagef(fmt.Sprintf(`as in %s '["curl", "--version"]'`, command.flag), "%s: the program's name is empty", command.flag)
		}
	}
	if slices.Contains(c.osFeatures, "") {
		return config, usagef("as in --os-feature win32k", "--os-feature: no feature")
	}
	if config.WorkingDir, err = parseWorkdir(c.workdir); err != nil {
		return config, err
	}
	if config.Labels, err = parsePairs("--label", c.labels); err != nil {
		return config, err
	}
	for _, port := range c.expose {
		p, err := parsePort(port)
		if err != nil {
			return config, err
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts = make(map[string]struct{})
		}
		config.ExposedPorts[p] = struct{}{}
	}
	for _, dir := range c.volumes {
		if !path.IsAbs(dir) {
			return config, usagef("as in --volume /var/lib/data", "--volume %q: not an absolute path", dir)
		}
		if config.Volumes == nil {
			config.Volumes = make(map[string]struct{})
		}
		config.Volumes[path.Clean(dir)] = struct{}{}
	}
	if c.stopSignal != "" && !stopSignals().MatchString(c.stopSignal) {
		return config, usagef("as in --stop-signal SIGTERM", "--stop-signal %q: no such signal", c.stopSignal)
	}
	config.StopSignal = c.stopSignal
	return config, nil
}

var stopSignals = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(SIG(HUP|INT|QUIT|ILL|TRAP|ABRT|BUS|FPE|KILL|USR1|SEGV|USR2|PIPE|ALRM|TERM|` +
		`STKFLT|CHLD|CONT|STOP|TSTP|TTIN|TTOU|URG|XCPU|XFSZ|VTALRM|PROF|WINCH|IO|PWR|SYS|RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?)` +
		`|[1-9]|[1-5][0-9]|6[0-4])$`)
})

// mergeEnv replaces variables by those in over, and appends new ones.
func mergeEnv(env, over []string) []string {
	merged := append([]string(nil), env...)
	at := make(map[string]int)
	for i, e := range merged {
		name, _, _ := strings.Cut(e, "=")
		at[name] = i
	}
	for _, e := range over {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			merged[i] = e
			continue
		}
		at[name] = len(merged)
		merged = append(merged, e)
	}
	return merged
}

// parseWords parses a command: a JSON array of words, or one word.
func parseWords(flag, s string) ([]string, error) {
	if !strings.HasPrefix(s, "[") {
		if s == "" {
			return nil, nil
		}
		return []string{s}, nil
	}
	var words []*string // pointers, to refuse null
	if err := json.Unmarshal([]byte(s), &words); err != nil || slices.Contains(words, nil) {
		return nil, usagef(fmt.Sprintf(`as in %s '["curl", "--version"]'`, flag), "%s %q: not a JSON array of words", flag, s)
	}
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = *w
	}
	return all, nil
}

// checkText refuses text that no process can be given, or that JSON cannot hold.
func checkText(flag string, values ...string) error {
	for _, v := range values {
		switch {
		case strings.IndexByte(v, 0) >= 0:
			return usagef("", "%s %q: contains NUL", flag, v)
		case !utf8.ValidString(v):
			return usagef("an image's config is JSON, which holds only UTF-8", "%s %q: not UTF-8", flag, v)
		}
	}
	return nil
}

// checkTexts checks the text of all flags.
func (c *configFlags) checkTexts(config ispec.ImageConfig) error {
	err := checkText("--env", c.env...)
	for _, text := range []struct {
		flag   string
		values []string
	}{
		{"--entrypoint", append([]string{c.entrypoint}, config.Entrypoint...)}, {"--cmd", append([]string{c.cmd}, config.Cmd...)},
		{"--workdir", []string{c.workdir}}, {"--volume", c.volumes},
		{"--author", []string{c.author}}, {"--os-version", []string{c.osVersion}}, {"--os-feature", c.osFeatures},
	} {
		err = cmp.Or(err, checkText(text.flag, text.values...))
	}
	return err
}

// parsePairs parses labels and annotations. The spec allows any key but the empty one.
func parsePairs(flag string, pairs []string) (map[string]string, error) {
	var m map[string]string
	if err := checkText(flag, pairs...); err != nil {
		return nil, err
	}
	for _, p := range pairs {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return nil, usagef("as in "+flag+" team=web", "%s %q: want KEY=VALUE", flag, p)
		}
		if m == nil {
			m = make(map[string]string)
		}
		m[key] = value
	}
	return m, nil
}

func parsePort(s string) (string, error) {
	port, protocol, ok := strings.Cut(s, "/")
	if !ok {
		protocol = "tcp"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return "", usagef("as in --expose 8080 or --expose 53/udp", "--expose %q: want PORT[/PROTOCOL]", s)
	}
	return fmt.Sprintf("%d/%s", n, protocol), nil
}

// parseCreated parses --created. It ignores SOURCE_DATE_EPOCH, which is 1980 inside nix-shell.
func parseCreated(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return parseTime("--created", s)
}

// parseTime parses the value of a flag. A date means its beginning in UTC.
func parseTime(flag, s string) (time.Time, error) {
	if s == "now" {
		return time.Now().UTC().Truncate(time.Second), nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day, nil
	}
	if seconds, err := strconv.ParseInt(strings.TrimPrefix(s, "@"), 10, 64); err == nil && seconds >= 0 && seconds < 1<<37 {
		return time.Unix(seconds, 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, usagef(fmt.Sprintf("as in %[1]s 2024-05-01T12:00:00Z, %[1]s 2024-05-01, %[1]s 1714564800 or %[1]s now", flag),
			"%s %q: not a time: want RFC 3339, a date, seconds since the epoch or now", flag, s)
	}
	return t.UTC(), nil
}
