// Command generate makes the vectors beside it: one file per case, each with the
// verdict that the specification asks for. It is deterministic: fixed seeds, no
// clock, so -check can compare.
//
//	go run ./testdata/vectors/generate -check
//	go run ./testdata/vectors/generate -write
//	go run ./testdata/vectors/generate -mutants 20000 | python3 testdata/vectors/reader/reader.py -
package main

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A vector is one case.
type vector struct {
	name     string // of the file, without .txt
	kind     string
	expect   string // "ok", "unknown" or a code
	comment  string
	receiver []byte // of an announce
	data     []byte
}

// A set gathers vectors and refuses two of one name.
type set struct {
	list []vector
	seen map[string]bool
}

func (s *set) add(v vector) {
	if s.seen[v.name] {
		panic("two vectors are called " + v.name)
	}
	s.seen[v.name] = true
	s.list = append(s.list, v)
}

// ok adds a vector that is good.
func (s *set) ok(kind, name, comment string, data []byte) {
	s.add(vector{name: kind + "-" + name, kind: kind, expect: "ok", comment: comment, data: data})
}

// bad adds a vector that is refused with code.
func (s *set) bad(kind, name string, code int, comment string, data []byte) {
	s.add(vector{name: kind + "-" + name, kind: kind, expect: strconv.Itoa(code), comment: comment, data: data})
}

func main() {
	write := flag.Bool("write", false, "write the files")
	check := flag.Bool("check", false, "compare the files")
	dir := flag.String("dir", "testdata/vectors", "where the files are")
	mutate := flag.Int("mutants", 0, "write this many changed vectors with their verdicts to stdout")
	seed := flag.Uint64("seed", 1, "of the mutants")
	flag.Parse()
	if *write == *check && *mutate == 0 {
		flag.Usage()
		os.Exit(2)
	}
	s := &set{seen: map[string]bool{}}
	codecVectors(s)
	keyVectors(s)
	headerVectors(s)
	envelopeVectors(s)
	documentVectors(s)
	frameVectors(s)
	announceVectors(s)
	if *mutate > 0 {
		exitOn(mutants(os.Stdout, s.list, *mutate, *seed))
		return
	}
	exitOn(run(s.list, *dir, *write))
	fmt.Printf("%d vectors\n", len(s.list))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes or compares. Files that no vector makes are an error in a check and
// are removed in a write.
func run(list []vector, dir string, write bool) error {
	want := map[string][]byte{}
	for _, v := range list {
		want[filepath.Join(dir, v.name+".txt")] = v.format()
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return err
	}
	for _, path := range have {
		if want[path] != nil {
			continue
		}
		if !write {
			return fmt.Errorf("%s is made by no case of the generator: run it with -write", path)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for _, v := range list {
		path := filepath.Join(dir, v.name+".txt")
		if write {
			if err := os.WriteFile(path, want[path], 0o644); err != nil {
				return err
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want[path]) {
			return fmt.Errorf("%s is not what the generator makes: run it with -write (%v)", path, err)
		}
	}
	return nil
}

func (v vector) format() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "expect: %s\nkind: %s\ncomment: %s\n", v.expect, v.kind, v.comment)
	if v.receiver != nil {
		fmt.Fprintf(&b, "receiver: %x\n", v.receiver)
	}
	b.WriteString("\n")
	for text := hex.EncodeToString(v.data); text != ""; {
		n := min(len(text), 96)
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return []byte(b.String())
}
