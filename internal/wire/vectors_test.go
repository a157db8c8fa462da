package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

const vectorsDir = "../../testdata/vectors"

// A vector is one file of testdata/vectors; its README says what the lines mean.
type vector struct {
	head map[string]string
	data []byte
}

func readVector(path string) (vector, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return vector{}, err
	}
	head, body, ok := strings.Cut(string(b), "\n\n")
	if !ok {
		return vector{}, errors.New("no empty line after the head")
	}
	v := vector{head: map[string]string{}}
	for _, line := range strings.Split(head, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		v.head[name] = value
	}
	v.data, err = hex.DecodeString(strings.Join(strings.Fields(body), ""))
	return v, err
}

// spec §2.2, §2.3, §3.2, §4.1 to §4.4, §6.1, §6.2, §8.1: every vector gets its
// verdict, and what is good is encoded again into the same bytes.
func TestVectors(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(vectorsDir, "*.txt"))
	if err != nil || len(paths) < 120 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	kinds := map[string]int{}
	for _, path := range paths {
		v, err := readVector(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, again := judge(v)
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if got != v.head["expect"] {
			t.Errorf("%s (%s): %s, want %s", name, v.head["comment"], got, v.head["expect"])
		}
		if got == "ok" && !bytes.Equal(again, v.data) {
			t.Errorf("%s: encoded again as %x", name, again)
		}
		if v.head["comment"] == "" || !strings.HasPrefix(name, v.head["kind"]) {
			t.Errorf("%s: no comment, or a name that does not begin with its kind", name)
		}
		kinds[v.head["kind"]]++
	}
	t.Log(kinds)
}

// judge returns the verdict, and what is encoded again.
func judge(v vector) (verdict string, again []byte) {
	switch v.head["kind"] {
	case "cbor":
		return verdictOf(cbor.Valid(v.data)), rewrite(v.data)
	case "key":
		a, err := identity.NewAddress(v.data)
		return verdictOf(err), a.Bytes()
	case "frame":
		return judgeFrame(v.data)
	case "announce":
		return judgeAnnounce(v)
	case "header":
		return judgeHeader(v.data)
	case "envelope":
		e, f := envelope.Check(v.data, nil)
		if f != nil {
			return code(CodeOf(f)), nil
		}
		return "ok", envelope.Assemble(e.Header.AppendTo(nil), e.Sig, e.Cert, e.Body)
	}
	return judgeDocument(v.head["kind"], v.data)
}

func code(c Code) string { return strconv.Itoa(int(c)) }

func verdictOf(err error) string {
	if err == nil {
		return "ok"
	}
	var f *Fault
	if errors.As(err, &f) {
		return code(f.Code)
	}
	return code(faultOf(err).Code)
}

func judgeFrame(b []byte) (string, []byte) {
	f, err := Decode(b, nil)
	if _, unknown := f.(*Unknown); unknown {
		return "unknown", nil
	}
	if err != nil {
		return verdictOf(err), nil
	}
	return "ok", f.AppendTo(nil)
}

func judgeAnnounce(v vector) (string, []byte) {
	f, err := Decode(v.data, nil)
	if err != nil {
		return verdictOf(err), nil
	}
	key, err := hex.DecodeString(v.head["receiver"])
	if err != nil {
		return err.Error(), nil
	}
	receiver, err := identity.NewAddress(key)
	if err != nil {
		return err.Error(), nil
	}
	if failed(f.(*Announce).Claims(receiver)) != -1 {
		return code(BadSignature), nil
	}
	return "ok", f.AppendTo(nil)
}

// judgeHeader wraps the header into an envelope that is good or bad by its header
// alone: a certificate is there exactly when the header's last field is no null.
func judgeHeader(b []byte) (string, []byte) {
	e, err := envelope.Parse(envelope.Assemble(b, identity.Signature{}, nil, []byte{0x80}), nil)
	if err != nil && strings.Contains(err.Error(), "a certificate is there exactly") {
		cert := &envelope.Certificate{Signed: envelope.Signed{Body: []byte{0x81, 2}}}
		e, err = envelope.Parse(envelope.Assemble(b, identity.Signature{}, cert, []byte{0x80}), nil)
		if err == nil {
			return "ok", e.Header.AppendTo(nil) // the empty certificate is newer, the header is not
		}
	}
	switch {
	case err != nil:
		return verdictOf(err), nil
	case e.Newer != nil:
		return code(BadVersion), nil
	}
	return "ok", e.Header.AppendTo(nil)
}

func judgeDocument(kind string, b []byte) (string, []byte) {
	limits := map[string]int{"cert": envelope.CertMax, "grant": grantMax, "homes": homesMax}
	r := cbor.NewReader(b)
	s := envelope.ReadSigned(&r, limits[kind])
	if err := r.End(); err != nil {
		return verdictOf(err), nil
	}
	var claim identity.Claim
	var err error
	switch kind {
	case "cert":
		var c *envelope.Certificate
		if c, err = envelope.ParseCertificate(s, nil); err == nil {
			claim = c.Claim()
		}
	case "grant":
		var g *Grant
		if g, err = ParseGrant(s, nil); err == nil {
			claim = g.Claim()
			g.Encode()
			s.Body = g.Signed.Body
		}
	case "homes":
		var h *Homes
		if h, err = ParseHomes(s, nil); err == nil {
			claim = h.Claim()
			h.Encode()
			s.Body = h.Signed.Body
		}
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	switch {
	case err != nil:
		return verdictOf(err), nil
	case !claim.Holds():
		return code(BadSignature), nil
	}
	return "ok", s.AppendTo(nil)
}

// rewrite reads one value and writes it again.
func rewrite(b []byte) []byte {
	r := cbor.NewReader(b)
	return rewriteValue(&r, b, nil)
}

func rewriteValue(r *cbor.Reader, in, out []byte) []byte {
	if r.Err() != nil || r.Offset() >= len(in) {
		return out
	}
	if r.Null() {
		return cbor.AppendNull(out)
	}
	switch in[r.Offset()] >> 5 {
	case 0:
		return cbor.AppendUint(out, r.Uint(anyUint))
	case 2:
		return cbor.AppendBytes(out, r.Bytes(0, 1<<30))
	case 3:
		return cbor.AppendText(out, r.Text(0, 1<<30))
	}
	n := r.Array(0, 1<<30)
	out = cbor.AppendArray(out, n)
	for ; n > 0 && r.Err() == nil; n-- {
		out = rewriteValue(r, in, out)
	}
	return out
}

// spec §7.1: the page has the table of the code, word for word.
func TestSpecHasTheCodes(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	for c := Code(0); c < codes; c++ {
		retry := "no"
		if c.Retry() {
			retry = "yes"
		}
		row := fmt.Sprintf("| %d | %v | %s | %s | %s |", c, c, c.Sentence(), c.Hint(), retry)
		if !bytes.Contains(page, []byte(row)) {
			t.Errorf("docs/spec.md lacks the row\n%s", row)
		}
	}
}

// spec §2.1: the page names every label that this room uses.
func TestSpecHasTheLabels(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []identity.Label{
		identity.LabelEnvelope, identity.LabelWriter, identity.LabelGrant, identity.LabelHomes, identity.LabelRoot,
		identity.LabelHop, identity.LabelID, identity.LabelChain, identity.LabelRank, identity.LabelMap,
	} {
		name, ok := strings.CutPrefix(strings.TrimSuffix(string(l), "\x00"), "upsycle/1 ")
		if !ok || !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/spec.md does not name the label %q", l)
		}
	}
}

// spec §3.2: page and CDDL show every frame under its number.
func TestPagesHaveTheFrames(t *testing.T) {
	for _, page := range []string{"../../docs/spec.md", "../../docs/upsycle.cddl"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(string(text)), " ")
		for _, s := range samples(t) {
			if strings.Contains(s.caption, " ") {
				continue // one sample for each type
			}
			if want := fmt.Sprintf("%s = [%d,", s.caption, s.frame.Type()); !strings.Contains(flat, want) {
				t.Errorf("%s lacks %q", page, want)
			}
		}
	}
}
