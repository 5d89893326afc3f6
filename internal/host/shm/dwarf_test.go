// SPDX-License-Identifier: Apache-2.0

package shm

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const header = "../../../kmod/uapi/uls_shm.h"

// constants is every constant of the header that Go knows, by its C name. The
// test fails if the header has one that is not here: what Go need not know is
// said in ignored.
var constants = map[string]uint64{
	"ULS_ABI_VERSION": ABIVersion, "ULS_INFO_MAGIC": InfoMagic,
	"ULS_REGION_BASE": RegionBase, "ULS_SLICE_SHIFT": SliceShift, "ULS_SLICE_SIZE": SliceSize,
	"ULS_OFF_INFO": OffInfo, "ULS_OFF_COUNTERS": OffCounters, "ULS_OFF_MBOX": OffMbox,
	"ULS_OFF_LOG": OffLog, "ULS_OFF_IMAGE": OffImage, "ULS_OFF_HEAP": OffHeap,
	"ULS_OFF_STACKS": OffStacks, "ULS_OFF_POOL": OffPool, "ULS_OFF_RINGS": OffRings,
	"ULS_OFF_UMEM": OffUmem, "ULS_IMAGE_MAX": ImageMax, "ULS_HEAP_MAX": HeapMax,
	"ULS_UMEM_MAX": UmemMax, "ULS_STACK_STRIDE": StackStride, "ULS_STACK_MAX": StackMax,
	"ULS_RING_STRIDE": RingStride, "ULS_MBOX_SIZE": MboxSize, "ULS_LOG_SIZE": LogSize,
	"ULS_COUNTERS_MAX": CountersMax, "ULS_NAME_MAX": NameMax, "ULS_INFO_TAKEOVER": InfoTakeover,
	"ULS_NT_MANIFEST": NTManifest, "ULS_NT_PARAM": NTParam, "ULS_NT_COUNTER": NTCounter,
	"ULS_MANIFEST_SERIAL": ManifestSerial, "ULS_MANIFEST_FPU": ManifestFPU,
	"ULS_EXIT_SYSCALL": ExitSyscall, "ULS_EXIT_SYSENTER": ExitSysenter, "ULS_EXIT_SYSCALL32": ExitSyscall32,

	"ULS_UP_INIT": UpInit, "ULS_UP_RX": UpRX, "ULS_UP_TICK": UpTick,
	"ULS_UP_CONTROL": UpControl, "ULS_UP_FINI": UpFini, "ULS_UP_NOP": UpNop,
	"ULS_SYS_RETURN": SysReturn, "ULS_SYS_CLOCK": SysClock, "ULS_SYS_BUDGET": SysBudget,
	"ULS_SYS_CPU": SysCPU, "ULS_SYS_ABORT": SysAbort,
	"ULS_MSG_PARAM": MsgTypeParam, "ULS_MSG_FLOW_ADD": MsgTypeFlowAdd, "ULS_MSG_FLOW_DEL": MsgTypeFlowDel,
	"ULS_PARAM_U64": ParamU64, "ULS_PARAM_BOOL": ParamBool, "ULS_PARAM_IPV4": ParamIPv4, "ULS_PARAM_MAC": ParamMAC,
	"ULS_CAUSE_NONE": CauseNone, "ULS_CAUSE_FAULT": CauseFault, "ULS_CAUSE_BUDGET": CauseBudget,
	"ULS_CAUSE_SERVICE": CauseService, "ULS_CAUSE_SELF": CauseSelf, "ULS_CAUSE_DEVICE": CauseDevice,
	"ULS_CAUSE_INIT": CauseInit,
}

// structs pairs the C structures that user space writes or reads with ours.
var structs = map[string]any{
	"uls_msg": Msg{}, "uls_msg_param": MsgParam{}, "uls_msg_flow": MsgFlow{},
	"uls_manifest": Manifest{}, "uls_note_param": NoteParam{}, "uls_note_counter": NoteCounter{},
}

// ignored are the structures only the kernel and an SPA touch.
var ignored = map[string]bool{
	"uls_ring_info": true, "uls_info": true, "uls_counters": true, "uls_pool": true, "uls_log": true,
}

var (
	defineRE = regexp.MustCompile(`(?m)^#define[ \t]+(ULS_[A-Z0-9_]+)[ \t]+\S`)
	enumRE   = regexp.MustCompile(`(?m)^\t(ULS_[A-Z0-9_]+)[ \t]*=`)
	structRE = regexp.MustCompile(`(?m)^struct (uls_[a-z_]+) \{`)
)

// probe compiles the header into an object in which every name of constants is
// a symbol with its value and every structure has debugging information.
func probe(t *testing.T, names, structNames []string) *elf.File {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc: the layout cannot be compared with the header (apt-get install gcc)")
	}
	abs, err := filepath.Abs(header)
	if err != nil {
		t.Fatal(err)
	}
	var src strings.Builder
	fmt.Fprintf(&src, "#include %q\n", abs)
	for _, n := range names {
		fmt.Fprintf(&src, "const unsigned long long probe_%s = (unsigned long long)(%s);\n", n, n)
	}
	for _, n := range structNames {
		fmt.Fprintf(&src, "struct %s *probe_ptr_%s;\n", n, n)
	}
	dir := t.TempDir()
	c, o := filepath.Join(dir, "probe.c"), filepath.Join(dir, "probe.o")
	if err := os.WriteFile(c, []byte(src.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-g", "-c", "-o", o, c).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	f, err := elf.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func headerNames(t *testing.T) (names, structNames []string) {
	t.Helper()
	text, err := os.ReadFile(header)
	if err != nil {
		t.Fatal(err)
	}
	for _, re := range []*regexp.Regexp{defineRE, enumRE} {
		for _, m := range re.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	for _, m := range structRE.FindAllStringSubmatch(string(text), -1) {
		structNames = append(structNames, m[1])
	}
	if len(names) < 40 || len(structNames) < 10 {
		t.Fatalf("only %d constants and %d structures found in %s: does the test still understand it?",
			len(names), len(structNames), header)
	}
	return names, structNames
}

func TestConstantsMatchHeader(t *testing.T) {
	names, _ := headerNames(t)
	f := probe(t, names, nil)
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]uint64{}
	unseen := maps.Clone(constants)
	for _, s := range syms {
		name, ok := strings.CutPrefix(s.Name, "probe_")
		if !ok {
			continue
		}
		b := make([]byte, 8)
		if _, err := f.Sections[s.Section].ReadAt(b, int64(s.Value)); err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		values[name] = binary.LittleEndian.Uint64(b)
	}
	for _, n := range names {
		want, ok := values[n]
		if !ok {
			t.Errorf("%s: not in the probe object", n)
			continue
		}
		got, ok := constants[n]
		if !ok {
			t.Errorf("%s is in %s but unknown to Go", n, header)
		} else if got != want {
			t.Errorf("%s: Go has %#x, C has %#x", n, got, want)
		}
		delete(unseen, n)
	}
	for n := range unseen {
		t.Errorf("%s is known to Go but not in %s", n, header)
	}
}

func TestStructsMatchHeader(t *testing.T) {
	_, names := headerNames(t)
	d, err := probe(t, nil, names).DWARF()
	if err != nil {
		t.Fatal(err)
	}
	cs := map[string]*dwarf.StructType{}
	r := d.Reader()
	for {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			break
		}
		if e.Tag != dwarf.TagStructType {
			continue
		}
		typ, err := d.Type(e.Offset)
		if err != nil {
			t.Fatal(err)
		}
		if st := typ.(*dwarf.StructType); st.StructName != "" && !st.Incomplete {
			cs[st.StructName] = st
		}
	}
	for _, n := range names {
		if ignored[n] {
			continue
		}
		if structs[n] == nil {
			t.Errorf("struct %s has no Go type", n)
			continue
		}
		if cs[n] == nil {
			t.Errorf("struct %s: not in the probe object", n)
			continue
		}
		compare(t, n, cs[n], reflect.TypeOf(structs[n]))
	}
}

// compare checks sizes, order, names and offsets of all fields. Go's structures
// are encoded without padding, so an offset is the sum of the sizes before it.
func compare(t *testing.T, name string, c *dwarf.StructType, g reflect.Type) {
	t.Helper()
	if got := binary.Size(reflect.Zero(g).Interface()); int64(got) != c.ByteSize {
		t.Errorf("struct %s: Go encodes %d bytes, C has %d", name, got, c.ByteSize)
	}
	if len(c.Field) != g.NumField() {
		t.Fatalf("struct %s: Go has %d fields, C has %d", name, g.NumField(), len(c.Field))
	}
	var offset int64
	for i, cf := range c.Field {
		gf := g.Field(i)
		if want := strings.ToLower(gf.Name); strings.ReplaceAll(cf.Name, "_", "") != want {
			t.Errorf("struct %s field %d: Go has %s, C has %s", name, i, gf.Name, cf.Name)
		}
		if cf.ByteOffset != offset {
			t.Errorf("struct %s.%s: Go at %d, C at %d", name, cf.Name, offset, cf.ByteOffset)
		}
		size := int64(binary.Size(reflect.Zero(gf.Type).Interface()))
		if size != cf.Type.Size() {
			t.Errorf("struct %s.%s: Go has %d bytes, C has %d", name, cf.Name, size, cf.Type.Size())
		}
		offset += size
	}
}
