package upsycle_test

import (
	"context"
	"fmt"
	"testing"

	"upsycle"
	"upsycle/upsycletest"
)

// BenchmarkStream is one publisher and one subscriber at a router in memory: one
// operation is one item from Publish to acknowledgement, checked at every hop.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{16, 1024} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for left := b.N; left > 0; left -= chunk {
				stream(b, make([]byte, size), min(left, chunk))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// chunk is how many items one router takes: it keeps what it has taken until that
// expires, and is full some time.
const chunk = 100_000

func stream(b *testing.B, payload []byte, items int) {
	b.StopTimer()
	tb, done := upsycletest.Example()
	defer done()
	r := upsycletest.NewRouter(tb)
	club := upsycletest.Key(tb, "club")
	sub, err := r.Dial(tb).Listen(b.Context(), club.Address())
	if err != nil {
		b.Fatal(err)
	}
	writer := r.Dial(tb)
	b.StartTimer()
	defer b.StopTimer()
	published := make(chan error, 1)
	go func() {
		_, err := writer.PublishAll(context.Background(), upsycle.GroupKey(club), repeat(payload, items))
		published <- err
	}()
	n := 0
	for item, err := range sub.Items(b.Context()) {
		if err != nil || item.Gap != nil {
			b.Fatalf("%v %v", err, item.Gap)
		}
		if n++; n == items {
			break
		}
	}
	if err := <-published; err != nil {
		b.Fatal(err)
	}
}

func repeat(payload []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for range n {
			if !yield(payload) {
				return
			}
		}
	}
}

// BenchmarkPublish is many goroutines that each wait for custody of every item.
func BenchmarkPublish(b *testing.B) {
	r := upsycletest.NewRouter(b)
	writer := r.Dial(b)
	club := upsycle.GroupKey(upsycletest.Key(b, "club"))
	payload := make([]byte, 100)
	b.ReportAllocs()
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := writer.Publish(b.Context(), club, payload); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

// BenchmarkPublishAlone is one goroutine that waits: what one item costs in time
// when nothing shares its envelope.
func BenchmarkPublishAlone(b *testing.B) {
	writer := upsycletest.NewRouter(b).Dial(b)
	club := upsycle.GroupKey(upsycletest.Key(b, "club"))
	payload := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := writer.Publish(b.Context(), club, payload); err != nil {
			b.Fatal(err)
		}
	}
}
