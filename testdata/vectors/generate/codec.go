package main

import "strings"

// codecVectors covers spec §2.3.
func codecVectors(s *set) {
	for _, c := range []struct{ name, comment, hex string }{
		{"uint-0", "the smallest integer", "00"},
		{"uint-23", "the largest in the initial byte", "17"},
		{"uint-24", "the smallest in one byte", "1818"},
		{"uint-255", "the largest in one byte", "18ff"},
		{"uint-256", "the smallest in two bytes", "190100"},
		{"uint-65536", "the smallest in four bytes", "1a00010000"},
		{"uint-2-32", "the smallest in eight bytes", "1b0000000100000000"},
		{"uint-max", "the largest integer", "1bffffffffffffffff"},
		{"bytes-empty", "no bytes", "40"},
		{"bytes-24", "a length in a byte of its own", "5818" + strings.Repeat("ab", 24)},
		{"text", "signs of two, three and four bytes", "69c3a9e282acf09f9880"},
		{"text-u00a0", "the first sign after the controls", "62c2a0"},
		{"array-empty", "no items", "80"},
		{"array-mixed", "one of each type", "8500 4101 6161 80 f6"},
		{"depth-6", "as deep as it may be", "818181818180"},
		{"depth-in-bytes", "a byte string begins anew", "8181818181 81 46 818181818180"},
		{"null", "null", "f6"},
	} {
		s.ok("cbor", c.name, c.comment, unhex(c.hex))
	}
	for _, c := range []struct{ name, comment, hex string }{
		{"empty", "no value", ""},
		{"long-23", "23 in two bytes", "1817"},
		{"long-255", "255 in three bytes", "1900ff"},
		{"long-65535", "65535 in five bytes", "1a0000ffff"},
		{"long-2-32", "2^32-1 in nine bytes", "1b00000000ffffffff"},
		{"long-bytes", "a length of 3 in two bytes", "5803010203"},
		{"long-text", "a length of 1 in two bytes", "780161"},
		{"long-array", "a count of 1 in two bytes", "980101"},
		{"reserved-28", "a reserved argument", "1c"},
		{"indefinite-bytes", "a byte string of indefinite length", "5f4101ff"},
		{"indefinite-text", "a text of indefinite length", "7f6161ff"},
		{"indefinite-array", "an array of indefinite length", "9f01ff"},
		{"break", "a break alone", "ff"},
		{"negative", "-1", "20"},
		{"map", "a map", "a10102"},
		{"tag", "a tag", "c11a514b67b0"},
		{"tag-bignum", "a bignum", "c24101"},
		{"half", "a half float", "f93c00"},
		{"single", "a single float", "fa47c35000"},
		{"double", "a double float", "fb3ff199999999999a"},
		{"false", "false", "f4"},
		{"true", "true", "f5"},
		{"undefined", "undefined", "f7"},
		{"simple-16", "a simple value", "f0"},
		{"null-long", "null in two bytes", "f816"},
		{"trailing", "a byte after the value", "0000"},
		{"cut-uint", "an integer that is cut off", "19ff"},
		{"cut-bytes", "a byte string that is cut off", "420a"},
		{"cut-array", "an array whose item is missing", "8101"[:2]},
		{"claim-bytes", "a byte string that claims 2^63 bytes", "5b8000000000000000"},
		{"claim-array", "an array that claims 2^32 items", "9b0000000100000000"},
		{"depth-7", "one too deep", "81818181818180"},
		{"text-nul", "a control character", "6100"},
		{"text-newline", "a line break", "610a"},
		{"text-del", "DEL", "617f"},
		{"text-c1", "U+0085, a control character of two bytes", "62c285"},
		{"text-cut", "a sign that is cut off", "61c3"},
		{"text-overlong", "an overlong sign", "62c080"},
		{"text-surrogate", "a surrogate", "63eda080"},
		{"text-beyond", "a sign above U+10FFFF", "64f4908080"},
	} {
		s.bad("cbor", c.name, 1, c.comment, unhex(c.hex))
	}
}

// keyVectors covers spec §2.2.
func keyVectors(s *set) {
	s.ok("key", "seed-1", "the key of a seed of 32 bytes 01", pub(1))
	s.ok("key", "base", "the base point", unhex("58"+strings.Repeat("66", 31)))
	for _, k := range smallOrder() {
		s.bad("key", k.name, 1, "a point of small order", k.key)
	}
	for _, c := range []struct{ name, comment, hex string }{
		{"y-p", "y = p, a second form of 0", "ed" + strings.Repeat("ff", 30) + "7f"},
		{"y-p-plus-1", "y = p + 1, a second form of the identity", "ee" + strings.Repeat("ff", 30) + "7f"},
		{"y-2-255-1", "the largest y, above p", strings.Repeat("ff", 31) + "7f"},
		{"minus-zero", "x = 0 with a sign bit", "01" + strings.Repeat("00", 30) + "80"},
		{"y-p-plus-3", "a point of large order, but y = p + 3", "f0" + strings.Repeat("ff", 30) + "7f"},
		{"off-curve", "no point of the curve has y = 2", "02" + strings.Repeat("00", 31)},
		{"short", "31 bytes", "58" + strings.Repeat("66", 30)},
		{"long", "33 bytes", "58" + strings.Repeat("66", 32)},
	} {
		s.bad("key", c.name, 1, c.comment, unhex(c.hex))
	}
}
