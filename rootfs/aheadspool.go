package rootfs

import (
	"cmp"
	"context"
	"slices"
)

// spoolAhead limits the bytes that one Ahead unpacks into temporary files. They stay there until their store is closed.
const spoolAhead = 4 << 30

// spool unpacks parts, the largest first and several at a time, unless they are walked before.
// It leaves out each part that no longer fits into spoolAhead: one that is larger than the limit must not stop the others.
func (r *aheadReader) spool(ctx context.Context, parts []*aheadPart, workers int) {
	slices.SortStableFunc(parts, func(a, b *aheadPart) int { return cmp.Compare(b.part.Size, a.part.Size) })
	queue := make(chan *aheadPart, len(parts))
	left := int64(spoolAhead)
	for _, p := range parts {
		if p.part.Size <= left {
			left -= p.part.Size
			queue <- p
		}
	}
	close(queue)
	for range min(workers, len(queue)) {
		r.slots <- struct{}{} // until all are unpacked: a decompressor takes memory
		r.group.Go(func() {
			defer func() { <-r.slots }()
			for p := range queue {
				if ctx.Err() == nil && p.state.CompareAndSwap(unread, spooling) {
					p.part.Spool(ctx)
					close(p.spooled)
				}
			}
		})
	}
}
