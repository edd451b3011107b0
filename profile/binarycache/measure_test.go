package binarycache

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/export-profile/export-profile/profile"
)

func TestMeasure(t *testing.T) {
	b, err := os.ReadFile("/tmp/meas/paths")
	if err != nil {
		t.Skip()
	}
	var paths []profile.Path
	for _, p := range strings.Fields(string(b)) {
		paths = append(paths, profile.Path(p))
	}
	for _, dir := range strings.Fields(os.Getenv("MEASURE")) {
		for _, par := range []int{1, 2, 4} {
			s := open(t, dir, quick())
			var mu sync.Mutex
			var total int64
			queue := make(chan profile.Path, len(paths))
			for _, p := range paths {
				queue <- p
			}
			close(queue)
			var r0, r1 syscall.Rusage
			syscall.Getrusage(0, &r0)
			begin := time.Now()
			var g sync.WaitGroup
			for range par {
				g.Go(func() {
					for p := range queue {
						info, _ := s.Info(t.Context(), p)
						for e, err := range s.Files(t.Context(), p) {
							if err != nil {
								t.Error(err)
								return
							}
							if e.IsRegular() {
								r, err := e.Open()
								if err != nil {
									t.Error(err)
									return
								}
								io.Copy(io.Discard, r)
								r.Close()
							}
						}
						mu.Lock()
						total += info.NarSize
						mu.Unlock()
					}
				})
			}
			g.Wait()
			took := time.Since(begin)
			syscall.Getrusage(0, &r1)
			cpu := time.Duration(r1.Utime.Nano() - r0.Utime.Nano() + r1.Stime.Nano() - r0.Stime.Nano())
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Printf("%s par=%d: %d MB in %v (%.0f MB/s), cpu %v (%.0f MB/s a core), heap sys %d MB\n", dir, par, total>>20, took, float64(total)/1e6/took.Seconds(), cpu, float64(total)/1e6/cpu.Seconds(), m.HeapSys>>20)
		}
	}
}
