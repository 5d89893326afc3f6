// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The part of the netlink specification format (Documentation/netlink of the
// kernel, schema "genetlink") that the family uses. Unknown keys are errors:
// a new one in the specification must be understood here too.
type specFile struct {
	Name        string       `yaml:"name"`
	Protocol    string       `yaml:"protocol"`
	Doc         string       `yaml:"doc"`
	UAPIHeader  string       `yaml:"uapi-header"`
	Definitions []definition `yaml:"definitions"`
	AttrSets    []attrSet    `yaml:"attribute-sets"`
	Operations  struct {
		List []operation `yaml:"list"`
	} `yaml:"operations"`
	McastGroups struct {
		List []struct {
			Name string `yaml:"name"`
		} `yaml:"list"`
	} `yaml:"mcast-groups"`
}

type definition struct {
	Type       string  `yaml:"type"`
	Name       string  `yaml:"name"`
	Doc        string  `yaml:"doc"`
	Value      uint64  `yaml:"value"`
	ValueStart uint64  `yaml:"value-start"`
	Entries    []entry `yaml:"entries"`
	RenderMax  bool    `yaml:"render-max"`
}

// entry of an enumeration: a bare name or a mapping.
type entry struct {
	Name string
	Doc  string
}

func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Decode(&e.Name)
	}
	var full struct {
		Name string `yaml:"name"`
		Doc  string `yaml:"doc"`
	}
	if err := n.Decode(&full); err != nil {
		return err
	}
	e.Name, e.Doc = full.Name, full.Doc
	return nil
}

type attrSet struct {
	Name       string      `yaml:"name"`
	Doc        string      `yaml:"doc"`
	Attributes []attribute `yaml:"attributes"`
}

type attribute struct {
	Name    string            `yaml:"name"`
	Type    string            `yaml:"type"`
	SubType string            `yaml:"sub-type"`
	Doc     string            `yaml:"doc"`
	Enum    string            `yaml:"enum"`
	Multi   bool              `yaml:"multi-attr"`
	Nested  string            `yaml:"nested-attributes"`
	Checks  map[string]string `yaml:"checks"`
}

type operation struct {
	Name    string   `yaml:"name"`
	Value   uint8    `yaml:"value"` // absent: one more than that of the operation before
	Doc     string   `yaml:"doc"`
	AttrSet string   `yaml:"attribute-set"`
	Flags   []string `yaml:"flags"`
	Do      *subOp   `yaml:"do"`
	Dump    *subOp   `yaml:"dump"`
	Notify  string   `yaml:"notify"`
	Mcgrp   string   `yaml:"mcgrp"`
}

type subOp struct {
	Request *attrList `yaml:"request"`
	Reply   *attrList `yaml:"reply"`
}

type attrList struct {
	Attributes []string `yaml:"attributes"`
}

func readSpec(path string) (*specFile, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s specFile
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.number(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

// number gives a value to the operations that have none.
func (s *specFile) number() error {
	var last uint8
	for i := range s.Operations.List {
		op := &s.Operations.List[i]
		if op.Value == 0 {
			op.Value = last + 1
		}
		if op.Value <= last {
			return fmt.Errorf("operation %s: value %d after %d", op.Name, op.Value, last)
		}
		last = op.Value
	}
	return nil
}

// check finds references that lead nowhere.
func (s *specFile) check() error {
	if s.Protocol != "genetlink" {
		return fmt.Errorf("protocol %q: only genetlink is understood", s.Protocol)
	}
	sets := map[string]map[string]bool{}
	for _, set := range s.AttrSets {
		sets[set.Name] = map[string]bool{}
		for _, a := range set.Attributes {
			sets[set.Name][a.Name] = true
		}
	}
	for _, set := range s.AttrSets {
		for _, a := range set.Attributes {
			if a.Type == "nest" && sets[a.Nested] == nil {
				return fmt.Errorf("attribute %s of %s: no attribute set %q", a.Name, set.Name, a.Nested)
			}
			if a.Enum != "" && s.definition(a.Enum) == nil {
				return fmt.Errorf("attribute %s of %s: no definition %q", a.Name, set.Name, a.Enum)
			}
		}
	}
	for _, op := range s.Operations.List {
		if op.Notify == "" && sets[op.AttrSet] == nil {
			return fmt.Errorf("operation %s: no attribute set %q", op.Name, op.AttrSet)
		}
		for _, name := range op.attributes() {
			if !sets[op.AttrSet][name] {
				return fmt.Errorf("operation %s: no attribute %q in %s", op.Name, name, op.AttrSet)
			}
		}
	}
	return nil
}

func (s *specFile) definition(name string) *definition {
	for i := range s.Definitions {
		if s.Definitions[i].Name == name {
			return &s.Definitions[i]
		}
	}
	return nil
}

// attributes lists every attribute the operation names, with repetitions.
func (op *operation) attributes() []string {
	var all []string
	for _, sub := range []*subOp{op.Do, op.Dump} {
		if sub == nil {
			continue
		}
		for _, l := range []*attrList{sub.Request, sub.Reply} {
			if l != nil {
				all = append(all, l.Attributes...)
			}
		}
	}
	return all
}

// camel turns spa-begin, SPA_BEGIN or uls_msg_flow into SpaBegin, UlsMsgFlow.
func camel(name string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' }) {
		switch w {
		case "id", "ip", "abi", "cpu", "ttl", "fd", "tsc", "cs", "pid", "mac", "mtu", "fpu":
			w = strings.ToUpper(w)
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// oneLine folds a YAML text block.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
