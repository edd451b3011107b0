package e2e

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// The sweep makes each system call of a run fail, or kills the run there, at each place where the run makes that call.
// Whatever happens, a run must end in one of these ways:
//
//   - It succeeds, and its result is right.
//   - It fails and says why, nothing of its result is visible, and the next run is right and leaves nothing behind.
//   - It fails and says that its result is complete and what is missing: a file beside the result, or what standard output should have got.
//   - It is killed. Then all or nothing of its result is visible, and the next run is right and leaves nothing behind.
//
// The system calls that belong to the Go runtime are left alone.

// sweepErrors are the errors that system calls fail with.
var sweepErrors = []string{"ENOSPC", "EIO", "EMFILE", "EACCES", "EINTR"}

// runtimeCalls are the system calls of the Go runtime and of process management.
var runtimeCalls = []string{
	"arch_prctl", "brk", "clone", "clone3", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "execve", "exit", "exit_group",
	"fcntl", "futex", "getegid", "geteuid", "getgid", "getpid", "getrandom", "getrlimit", "gettid", "getuid", "kill", "madvise", "mincore", "mmap", "mprotect",
	"munmap", "nanosleep", "pipe2", "prctl", "prlimit64", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity",
	"sched_yield", "set_robust_list", "set_tid_address", "setrlimit", "sigaltstack", "tgkill", "timer_create", "timer_delete", "timer_settime", "uname",
}

// sweepSample is how many runs of the whole sweep there are for one of the sample.
const sweepSample = 60

// sweepTime is how long a run may take.
const sweepTime = 2 * time.Minute

// sweepCase is a command to sweep.
type sweepCase struct {
	name   string
	args   []string
	output []string // names in the directory of the result, which appears as a whole
	beside []string // names of files beside it; each appears as a whole
	prints string   // on standard output, in a run without faults
	status []int    // that the command may have besides 0 and 1
	// printsVary says that a fault may change what the command does, and so what it prints.
	printsVary bool
	// state, if not nil, replaces the comparison of output: it returns "before", "after" or what is wrong.
	state func(t *testing.T) string
	// restart, if not nil, prepares the state for one run, besides the restored directory.
	restart func(t *testing.T)
	// failsAfter says that state is never "before", since the command has no result of its own.
	failsAfter bool
}

// sweep is the sweep of one case.
type sweep struct {
	sweepCase
	user          person
	template, dir string // before a run, and where it runs
	before, after map[string]string
	keeps         []string // names in dir that are no results

	runs, hits, failed, killed int
	violations                 []string
	places, hitPlaces          map[string]bool
}

// newSweep measures a case. The template is the directory in which it starts.
func newSweep(t *testing.T, p person, template string, c sweepCase) *sweep {
	t.Helper()
	s := &sweep{sweepCase: c, user: p.with("GOMAXPROCS=1"), template: template, dir: filepath.Join(p.scratch(t), "run"),
		keeps: []string{"cache", "log", "golden"}, places: make(map[string]bool), hitPlaces: make(map[string]bool)}
	s.restore(t)
	s.before = s.list(t)
	r := s.run(t, "")
	if !slices.Contains(append(s.status, 0), r.status()) {
		t.Fatalf("without a fault: %v", r)
	}
	s.prints, s.after = r.stdout, s.list(t)
	if s.state == nil && maps.Equal(s.before, s.after) {
		t.Fatalf("%q changes nothing", c.args)
	}
	return s
}

// restore makes the directory equal to the template.
func (s *sweep) restore(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if out, err := s.user.command("/", "cp", "-a", s.template, s.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s.restart != nil {
		s.restart(t)
	}
}

// list lists the results in the directory, with their contents.
func (s *sweep) list(t *testing.T) map[string]string {
	t.Helper()
	all := list(t, s.dir)
	maps.DeleteFunc(all, func(name, _ string) bool {
		top, _, _ := strings.Cut(name, "/")
		return slices.Contains(s.keeps, top)
	})
	return all
}

// run runs the command under strace with a fault, such as openat:error=EIO:when=3, or without one.
func (s *sweep) run(t *testing.T, fault string) result {
	t.Helper()
	args := []string{"-f", "-qq", "-y", "-s", "0", "-o", filepath.Join(s.dir, "log")}
	if call, _, ok := strings.Cut(fault, ":"); ok {
		args = append(args, "-e", "trace="+call, "-e", "inject="+fault)
		if !strings.Contains(fault, "signal=") { // strace 6.1 sends no signal then
			args = append(args, "--seccomp-bpf")
		}
	}
	cmd := s.user.command(s.dir, "strace", append(append(args, lab.program), s.args...)...)
	cmd.SysProcAttr.Setpgid = true
	timer := time.AfterFunc(sweepTime, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	start := time.Now()
	r := try(t, cmd)
	timer.Stop()
	if time.Since(start) >= sweepTime {
		t.Errorf("%s: the run hung", fault)
	}
	return r
}

// callLine matches the beginning of a system call in the output of strace.
var callLine = regexp.MustCompile(`^\d+ +([a-z0-9_]+)\((.*)$`)

// callPath matches the paths in the arguments of a system call.
var callPath = regexp.MustCompile(`"[^"]*"|<[^>]*>`)

// callNumber matches the random parts of names.
var callNumber = regexp.MustCompile(`[0-9]+(\x22|/|>|$|-new)|-[0-9]+|fd/[0-9]+`)

// place returns the system call of a line, and a name for the place in the run: the call and its paths.
func place(line string) (call, place string) {
	m := callLine.FindStringSubmatch(line)
	if m == nil || slices.Contains(runtimeCalls, m[1]) {
		return "", ""
	}
	arguments, _, _ := strings.Cut(m[2], ") = ")
	arguments = strings.TrimSuffix(arguments, " <unfinished ...>")
	paths := strings.Join(callPath.FindAllString(arguments, -1), " ")
	return m[1], m[1] + " " + callNumber.ReplaceAllString(paths, "N")
}

// calls reads the log of a run without a fault. It returns how often a thread makes each call at most.
func (s *sweep) calls(t *testing.T) map[string]int {
	t.Helper()
	most, counts := make(map[string]int), make(map[string]int)
	s.eachLine(t, func(line string) {
		call, where := place(line)
		if call == "" {
			return
		}
		s.places[where] = true
		thread, _, _ := strings.Cut(line, " ")
		counts[thread+call]++
		most[call] = max(most[call], counts[thread+call])
	})
	return most
}

func (s *sweep) eachLine(t *testing.T, f func(line string)) {
	t.Helper()
	log, err := os.Open(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// hit reports whether the fault of the last run happened, and notes where.
func (s *sweep) hit(t *testing.T, killed bool) (hit bool) {
	t.Helper()
	last := ""
	s.eachLine(t, func(line string) {
		if _, where := place(line); where != "" {
			last = where
		}
		if strings.Contains(line, "(INJECTED)") {
			hit = true
			s.hitPlaces[last] = true
		}
	})
	if killed {
		s.hitPlaces[last] = true
	}
	return hit || killed
}

// all sweeps all places of all system calls, or a sample.
func (s *sweep) all(t *testing.T) {
	t.Helper()
	s.restore(t)
	s.run(t, "")
	calls := s.calls(t)
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		for _, how := range append(slices.Clone(sweepErrors), "KILL") {
			misses := 0
			// Threads share the calls differently in each run: go on until there are no more.
			for n := 1; misses < 2 && n < 10*calls[call]+10; n++ {
				fault := fmt.Sprintf("%s:error=%s:when=%d", call, how, n)
				if how == "KILL" {
					fault = fmt.Sprintf("%s:signal=KILL:when=%d", call, n)
				}
				if !testrun.Exhaustive() {
					if n > calls[call] {
						break
					}
					h := fnv.New32a()
					fmt.Fprint(h, s.name, fault)
					if h.Sum32()%sweepSample != 0 {
						continue
					}
				}
				if s.one(t, fault, how == "KILL") {
					misses = 0
				} else {
					misses++
				}
				if len(s.violations) > 20 {
					t.Fatal("too many violations")
				}
			}
		}
	}
	reached := 0
	for where := range s.places {
		if s.hitPlaces[where] {
			reached++
		} else if testrun.Exhaustive() {
			t.Logf("not reached: %s", where)
		}
	}
	t.Logf("sweep %s: %d runs, %d with a fault, %d failed, %d killed, at %d of %d places; %d violations",
		s.name, s.runs, s.hits, s.failed, s.killed, reached, len(s.places), len(s.violations))
}

// one makes one run with a fault, checks how it ends, and reports whether the fault happened.
func (s *sweep) one(t *testing.T, fault string, kill bool) bool {
	t.Helper()
	s.restore(t)
	r := s.run(t, fault)
	s.runs++
	hit := s.hit(t, kill && r.signal() == syscall.SIGKILL)
	if hit {
		s.hits++
	}
	violation := func(format string, args ...any) {
		t.Helper()
		s.violations = append(s.violations, fault)
		t.Errorf("%s: "+format+"\n%v", append(append([]any{fault}, args...), r)...)
	}
	state, beside, extra := s.look(t)
	complete := strings.Contains(r.stderr, "is complete")
	switch {
	case r.signal() == syscall.SIGKILL && kill:
		s.killed++
		if state != "before" && state != "after" {
			violation("after the kill: %s", state)
		}
	case r.status() == 0 || slices.Contains(s.status, r.status()):
		if state != "after" || !beside {
			violation("the run succeeds, and its result is %s, the files beside it are there: %v", state, beside)
		}
		if r.status() == 0 && r.stdout != s.prints && !s.printsVary {
			violation("the run succeeds, and prints %q; want %q", r.stdout, s.prints)
		}
		if len(extra) > 0 && !strings.Contains(r.stderr, "could not clean up") {
			violation("the run succeeds, and leaves %q without a note", extra)
		}
		if state == "after" {
			return hit
		}
	case r.status() == 1:
		s.failed++
		if !strings.Contains(r.stderr, "export-profile: error: ") && !strings.HasPrefix(fault, "write:") {
			violation("the run fails and says nothing")
		}
		if strings.Contains(r.stderr, "/proc/self/fd/") {
			violation("the error names a file by its number")
		}
		if state != "before" && !(state == "after" && (complete || s.failsAfter)) {
			violation("the run fails, and its result is %s", state)
		}
	default:
		violation("the run ends strangely, and its result is %s", state)
	}
	s.follow(t, violation)
	return hit
}

// follow checks that the next run is right.
func (s *sweep) follow(t *testing.T, violation func(string, ...any)) {
	t.Helper()
	if s.name == "rootfs" { // it never replaces a directory
		if err := os.RemoveAll(filepath.Join(s.dir, "root")); err != nil {
			t.Fatal(err)
		}
	}
	r := try(t, s.user.command(s.dir, lab.program, s.args...))
	state, beside, extra := s.look(t)
	if r.status() != 0 && !slices.Contains(s.status, r.status()) || state != "after" || !beside || len(extra) > 0 {
		violation("the next run is wrong: the result is %s, the files beside it are there: %v, and it leaves %q\n%v", state, beside, extra, r)
	}
}

// look compares the directory with how it was before and should be after a run.
// It says whether the files beside the result are those of after, and what else there is.
func (s *sweep) look(t *testing.T) (state string, beside bool, extra []string) {
	t.Helper()
	got := s.list(t)
	differs := func(names []string, want map[string]string) string {
		for _, all := range []map[string]string{want, got} {
			for name := range all {
				top, _, _ := strings.Cut(name, "/")
				if !slices.Contains(names, top) || got[name] == want[name] {
					continue
				}
				if _, ok := want[name]; !ok && invisible(name) {
					continue
				}
				return fmt.Sprintf("%q is %q instead of %q", name, got[name], want[name])
			}
		}
		return ""
	}
	switch {
	case s.state != nil:
		state = s.state(t)
	case differs(s.output, s.after) == "":
		state = "after"
	case differs(s.output, s.before) == "":
		state = "before"
	default:
		state = "neither: " + differs(s.output, s.after)
	}
	beside = differs(s.beside, s.after) == ""
	for _, name := range s.beside {
		if differs([]string{name}, s.after) != "" && differs([]string{name}, s.before) != "" {
			state = "neither: " + differs([]string{name}, s.after)
		}
	}
	for name := range got {
		_, was := s.before[name]
		if _, is := s.after[name]; !is && !was || !was && strings.Contains(name, ".export-profile-") {
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	return state, beside, extra
}

// invisible reports whether a file is one that readers of a result do not see.
func invisible(name string) bool {
	return strings.Contains(name, ".export-profile-") || strings.Contains(name, "/blobs/")
}
