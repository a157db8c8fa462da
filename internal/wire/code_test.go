package wire

import (
	"strings"
	"testing"
)

// spec §7.1: every code has a name, a sentence and a hint of its own, and says
// whether trying again may help.
func TestCodeTable(t *testing.T) {
	retry := map[Code]bool{Clock: true, Quota: true, Rate: true, StorageFull: true, ShuttingDown: true, InternalFault: true}
	seen := map[string]Code{}
	for c := Code(0); c < codes; c++ {
		name, sentence, hint := c.String(), c.Sentence(), c.Hint()
		if name == "" || strings.HasPrefix(name, "code ") {
			t.Errorf("code %d has no name", c)
		}
		for _, s := range []string{sentence, hint} {
			if !strings.HasSuffix(s, ".") || strings.Contains(s, "\n") || strings.ToUpper(s[:1]) != s[:1] {
				t.Errorf("code %d: %q is no sentence", c, s)
			}
			if other, ok := seen[s]; ok {
				t.Errorf("codes %d and %d say the same: %q", other, c, s)
			}
			seen[s] = c
		}
		if c.Retry() != retry[c] {
			t.Errorf("code %d: retry %v", c, c.Retry())
		}
	}
}

func TestUnknownCodes(t *testing.T) {
	c := Code(codes)
	if c.String() != "code 17" || c.Sentence() == "" || c.Hint() == "" || c.Retry() {
		t.Errorf("%v: %q %q retry %v", c, c.Sentence(), c.Hint(), c.Retry())
	}
}
