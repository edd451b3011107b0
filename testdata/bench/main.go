// Command bench measures export-profile against the tools that people use instead of it,
// and prints one table. Run it as root on Debian 12 with Go:
//
//	go run ./testdata/bench
//
// It installs the other tools, builds export-profile, and has real Nix build a closure of some
// 430 store paths and 2.3 GB out of Debian packages (testdata/e2e/debstore.py), and revisions of it.
// That takes half an hour the first time; what is built is kept in -dir and in /nix/store, and used again.
//
// Every action is done once in each of -runs rounds, one after the other, so that what else the machine does
// hits all of them, and every other round backwards. A row compares two actions of the same round: its ratio is the median of the rounds'
// ratios. All files that are read are in memory, and what one action leaves to be written to the disk
// is written before the next one begins.
//
// There are Go benchmarks, too, of what the product is made of, for benchstat:
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
	slowRuns := flag.Int("slow-runs", 5, "but the slow ones in the first `N` rounds only")
	only := flag.String("run", "", "only the rows whose name matches `REGEXP`")
	small := flag.Bool("small", false, "a small closure (curl), to try the benchmark itself")
	list := flag.Bool("list", false, "print the names of the rows and stop")
	jsonFile := flag.String("json", "", "write the rows, with all that was measured, to `FILE`, too")
	dir := flag.String("dir", "/var/tmp/export-profile-bench", "work in `DIR`, and keep there what takes long to make")
	program := flag.String("program", "", "measure the export-profile `FILE` instead of building one")
	patience := flag.Duration("patience", 10*time.Second, "wait so long for other programs to pause before something is measured")
	timeout := flag.Duration("timeout", 10*time.Minute, "a command that takes longer has failed")
	child := flag.String("child", "", "(what this program runs itself as)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *child != "" {
		if err := runChild(ctx, *child, flag.Args()); err != nil {
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

// rounds says in how many rounds actions are measured.
type rounds struct{ all, slow int }

// slow are the actions that take as long as all others together.
var slow = map[string]bool{"buildah": true, "skopeo": true, "nix-store --import": true}

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
			slices.Reverse(names) // what came before makes a difference
		}
		for _, name := range names {
			s := measured[name]
			if s.err != nil || slow[name] && round >= n.slow {
				continue // it would fail again, or was measured often enough
			}
			sample, err := l.measure(name)
			if ctx.Err() != nil {
				l.logf("stopped: this is what was measured until now")
				break measuring
			}
			if err != nil {
				s.err = err
				l.logf("%s: %v", name, err)
				continue
			}
			s.samples = append(s.samples, sample)
			l.logf("round %d: %s: %.2f s, CPU %.2f s, RSS %d MB, written %d MB, size %d; others had %.1f processors",
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

// about says what was measured on which machine.
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
		"meanwhile other programs had %.1f of the cores",
		len(l.base.closure), float64(l.base.size)/1e9, cores(), cpu, n,
		median(all, func(s sample) float64 { return s.Others }))
}

// self is the path of this program, to run it as a child.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		fatal(err)
	}
	return exe
}

// findRepo is the root of the repository that the working directory is in.
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
