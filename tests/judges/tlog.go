// A judge of proofs made elsewhere: reads questions from its input, one JSON object a line, and answers each with a line: "yes", or why not.
// All mathematics, and the reading of notes, is that of Go's own checksum database (golang.org/x/mod/sumdb).
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Whether Data is in the log as Proof says, or whether the checkpoint New goes on from Old by Hashes.
type question struct {
	Origin, Key                   string
	Data, Proof, Old, Hashes, New []byte
}

// Go's own reading passes over what is written in Base64 in two ways.
var strict = base64.StdEncoding.Strict()
var malformed = errors.New("malformed")

func checkpoint(q question, data []byte) (tree tlog.Tree, err error) {
	key, err := note.NewVerifier(q.Key)
	if err != nil {
		return tree, err
	}
	signed, err := note.Open(data, note.VerifierList(key))
	if err != nil {
		return tree, err
	}
	if _, err := strict.DecodeString(signed.Sigs[0].Base64); err != nil || !strings.HasPrefix(signed.Text, q.Origin+"\n") {
		return tree, malformed
	}
	return tlog.ParseTree([]byte("go.sum database tree" + strings.TrimPrefix(signed.Text, q.Origin)))
}

func hashes(lines []string) (found []tlog.Hash, err error) {
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil || hash.String() != line {
			return nil, malformed
		}
		found = append(found, hash)
	}
	return found, nil
}

func included(q question) error {
	head, signed, _ := bytes.Cut(q.Proof, []byte("\n\n"))
	tree, err := checkpoint(q, signed)
	if err != nil {
		return err
	}
	lines := strings.Split(string(head), "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return malformed
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil || fmt.Sprint("index ", index) != lines[1] {
		return malformed
	}
	path, err := hashes(lines[2:])
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(q.Data))
}

func consistent(q question) error {
	older, err := checkpoint(q, q.Old)
	if err != nil {
		return err
	}
	newer, err := checkpoint(q, q.New)
	if err != nil {
		return err
	}
	path, err := hashes(strings.Split(string(q.Hashes), "\n"))
	if err != nil {
		return err
	}
	return tlog.CheckTree(path, newer.N, newer.Hash, older.N, older.Hash)
}

func main() {
	for input := json.NewDecoder(os.Stdin); ; {
		var q question
		if err := input.Decode(&q); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		check := consistent
		if q.Proof != nil {
			check = included
		}
		if err := check(q); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("yes")
		}
	}
}
