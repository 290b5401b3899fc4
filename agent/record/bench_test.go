package record

import "testing"

func BenchmarkFrom(b *testing.B) {
	e, o := coreEvent(), origin()
	b.ReportAllocs()
	for b.Loop() {
		From(e, o)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	r := From(coreEvent(), origin())
	buf := r.AppendJSON(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendJSON(buf[:0])
	}
}

func BenchmarkSize(b *testing.B) {
	r := From(coreEvent(), origin())
	for b.Loop() {
		r.Size()
	}
}
