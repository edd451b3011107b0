// Command bench compares the speed of export-profile with that of alternative tools,
// and prints one table. Run it as root on Debian 12 with Go:
//
//	go run ./testdata/bench
//
// It installs the other tools, builds export-profile, and makes real Nix build a closure of about
// 430 store paths and 2.3 GB from Debian packages (testdata/e2e/debstore.py), and revisions of it.
// That takes half an hour the first time. Later runs reuse the results in -dir and /nix/store.
//
// Each of -runs rounds runs every action once, so that other load on the machine affects all of them.
// Every other round runs them in reverse order. A row compares two actions of the same round;
// its ratio is the median of the rounds' ratios. All input files are in the page cache.
// Before each action, the bench waits until the output of the previous one is on disk.
//
// The parts of the product also have Go benchmarks, for benchstat:
//
//	go test -run '^$' -bench . ./ocilayout ./testdata/bench
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	runs := flag.Int("runs", 5, "measure each action in `N` rounds")
	slowRuns := flag.Int("slow-runs", 5, "measure slow actions only in the first `N` rounds")
	only := flag.String("run", "", "measure only rows whose name matches `REGEXP`")
	small := flag.Bool("small", false, "use a small closure (curl), to test the benchmark itself")
	list := flag.Bool("list", false, "print the names of the rows and stop")
	jsonFile := flag.String("json", "", "also write the rows and all samples to `FILE`")
	dir := flag.String("dir", "/var/tmp/export-profile-bench", "work in `DIR`, and keep files there that take long to make")
	program := flag.String("program", "", "measure the export-profile `FILE` instead of building one")
	patience := flag.Duration("patience", 10*time.Second, "wait at most this long for other programs to pause before each action")
	timeout := flag.Duration("timeout", 10*time.Minute, "fail a command that takes longer")
	busy := flag.Bool("busy", false, "run the command in the arguments and draw how many cores it kept busy")
	child := flag.String("child", "", "(internal)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *child != "" {
		if err := runChild(ctx, *child, flag.Args()); err != nil {
			fatal(err)
		}
		return
	}
	if *busy {
		if err := showBusy(ctx, os.Stdout, flag.Args()); err != nil {
			fatal(err)
		}
		return
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fatal(err)
	}
	rows := slices.DeleteFunc(rows(), func(r row) bool { return !pattern.MatchString(r.what) })
	if *list {
		for _, r := range rows {
			fmt.Println(r.what)
		}
		return
	}
	if err := bench(ctx, rows, rounds{*runs, *slowRuns}, options{*dir, *program, *small, *timeout, *patience}, *jsonFile); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	os.Exit(1)
}

// rounds holds the numbers of rounds for all actions and for slow ones.
type rounds struct{ all, slow int }

// slow lists the actions that take as long as all others together.
var slow = map[string]bool{"buildah": true, "skopeo": true, "nix-store --import": true, "podman push": true, "nix copy, xz": true}

func bench(ctx context.Context, rows []row, n rounds, o options, jsonFile string) (err error) {
	l, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	measured := make(map[string]*series)
	var names []string
	for _, r := range rows {
		for _, name := range []string{r.ours, r.peer} {
			if name != "" && measured[name] == nil {
				measured[name] = &series{}
				names = append(names, name)
			}
		}
	}
measuring:
	for round := range n.all {
		if round > 0 {
			slices.Reverse(names) // the preceding action can affect an action
		}
		for _, name := range names {
			s := measured[name]
			if s.err != nil || slow[name] && round >= n.slow {
				continue // it failed before, or was measured often enough
			}
			sample, err := l.measure(name)
			if ctx.Err() != nil {
				l.logf("stopped: printing the results so far")
				break measuring
			}
			if err != nil {
				s.err = err
				l.logf("%s: %v", name, err)
				continue
			}
			s.samples = append(s.samples, sample)
			l.logf("round %d: %s: %.2f s, CPU %.2f s, RSS %d MB, written %d MB, size %d; other programs used %.1f cores",
				round+1, name, sample.Wall, sample.CPU, sample.RSS>>20, sample.Written/1e6, sample.Size, sample.Others)
		}
	}
	about := l.about(n.all, measured)
	printTable(os.Stdout, about, rows, measured)
	if jsonFile != "" {
		return writeJSON(jsonFile, about, rows, measured)
	}
	return nil
}

// about describes the measured closure and the machine.
func (l *lab) about(n int, measured map[string]*series) string {
	var all []sample
	for _, s := range measured {
		all = append(all, s.samples...)
	}
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(b); m != nil {
			cpu = string(m[1])
		}
	}
	return fmt.Sprintf("%d store paths, %.2f GB; %d cores, %s; medians of at most %d interleaved rounds (and the least), warm cache; "+
		"other programs used %.1f cores meanwhile",
		len(l.base.closure), float64(l.base.size)/1e9, cores(), cpu, n,
		median(all, func(s sample) float64 { return s.Others }))
}

// self returns the path of this program, to run it as a child.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		fatal(err)
	}
	return exe
}

// findRepo finds the root of the repository around the working directory.
func findRepo() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module github.com/export-profile/export-profile\n") {
			return dir, nil
		}
	}
	return "", errors.New("not in the repository of export-profile")
}
