package loop

// A ring is a queue whose memory is used again. The zero ring is empty and ready.
type ring[T any] struct {
	buf  []T // its length is a power of two, or zero
	head int // where the oldest is
	n    int
	gone uint64 // how many were popped ever
}

// ringSmall is the longest buffer that is worth keeping for another user.
const ringSmall = 64

func (r *ring[T]) len() int { return r.n }

// popped returns how many were popped ever, so that gone+i names an element for
// as long as it is in the ring. pushFront makes such names void.
func (r *ring[T]) popped() uint64 { return r.gone }

// at returns the i-th element, the oldest being 0.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	r.grow()
	r.n++
	*r.at(r.n - 1) = v
}

// pushFront puts v before the oldest.
func (r *ring[T]) pushFront(v T) {
	r.grow()
	r.head = (r.head - 1) & (len(r.buf) - 1)
	r.n++
	*r.at(0) = v
}

// pop takes out the oldest; there must be one.
func (r *ring[T]) pop() T {
	var none T
	v := *r.at(0)
	*r.at(0) = none
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	r.gone++
	return v
}

// small reports whether the buffer is short enough to be kept.
func (r *ring[T]) small() bool { return len(r.buf) <= ringSmall }

func (r *ring[T]) grow() {
	if r.n < len(r.buf) {
		return
	}
	buf := make([]T, max(8, 2*len(r.buf)))
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head = buf, 0
}
