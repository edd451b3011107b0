package source

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// peakHeap runs f and returns the largest growth of the heap's objects meanwhile, including garbage.
func peakHeap(f func()) uint64 {
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC()
	idle, most := heap(), uint64(0)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			most = max(most, heap())
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	f()
	close(done)
	group.Wait()
	return most - min(idle, most)
}
