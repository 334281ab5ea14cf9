// A judge of proofs made elsewhere: answers each question of its input, a JSON object a line, with a line: "yes", or why not.
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
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Whether Data is in the log as Proof says; or, without them, whether the checkpoint New goes on from Old by Hashes.
type question struct {
	Origin, Key                   string
	Data, Proof, Old, Hashes, New []byte
}

type no struct{ error }

// check ends the question with a no, unless there is no error and the text is in the one form that it has.
func check(err error, written, form string) {
	if err == nil && written != form {
		err = errors.New("not in its one form")
	}
	if err != nil {
		panic(no{err})
	}
}

func checkpoint(q question, data []byte) tlog.Tree {
	key, err := note.NewVerifier(q.Key)
	check(err, "", "")
	signed, err := note.Open(data, note.VerifierList(key))
	check(err, "", "")
	signature, err := base64.StdEncoding.DecodeString(signed.Sigs[0].Base64)
	check(err, signed.Sigs[0].Base64, base64.StdEncoding.EncodeToString(signature))
	tree, err := tlog.ParseTree([]byte("go.sum database tree" + strings.TrimPrefix(signed.Text, q.Origin)))
	check(err, signed.Text, fmt.Sprintf("%s\n%d\n%s\n", q.Origin, tree.N, tree.Hash))
	return tree
}

func hashes(lines []string) (found []tlog.Hash) {
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		check(err, line, hash.String())
		found = append(found, hash)
	}
	return found
}

func answer(q question) (said string) {
	defer func() {
		switch why := recover().(type) {
		case nil:
		case no:
			said = why.Error()
		default:
			panic(why)
		}
	}()
	if q.Proof == nil {
		older, newer := checkpoint(q, q.Old), checkpoint(q, q.New)
		check(tlog.CheckTree(hashes(strings.Split(string(q.Hashes), "\n")), newer.N, newer.Hash, older.N, older.Hash), "", "")
		return "yes"
	}
	head, signed, _ := bytes.Cut(q.Proof, []byte("\n\n"))
	tree, lines, index := checkpoint(q, signed), strings.Split(string(head), "\n"), int64(0)
	_, err := fmt.Sscanf(string(head), "c2sp.org/tlog-proof@v1\nindex %d", &index)
	check(err, "", "")
	check(nil, strings.Join(lines[:2], "\n"), fmt.Sprint("c2sp.org/tlog-proof@v1\nindex ", index))
	check(tlog.CheckRecord(hashes(lines[2:]), tree.N, tree.Hash, index, tlog.RecordHash(q.Data)), "", "")
	return "yes"
}

func main() {
	input := json.NewDecoder(os.Stdin)
	for {
		var q question
		if err := input.Decode(&q); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		fmt.Println(answer(q))
	}
}
