package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// envPrefix begins the environment variables: CLAIRWATCH_GROUPWAIT, CLAIRWATCH_LOG_LEVEL.
const envPrefix = "CLAIRWATCH"

// loadConfig reads the settings from defaults, file, environment and flags, each before the next, and makes sure that
// they make sense. An empty path reads no file.
func loadConfig(path string, flags *pflag.FlagSet, flagKeys map[string]string) (Config, error) {
	cfg, err := readConfig(path, flags, flagKeys)
	if err != nil {
		return Config{}, err
	}
	if err := cfg.validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", readingConfig(path), err)
	}
	return cfg, nil
}

// readingConfig is what is being done, as errors say it.
func readingConfig(path string) string {
	return strings.TrimSuffix("reading the config "+path, " ")
}

// readConfig reads the settings without a look at whether they make sense.
func readConfig(path string, flags *pflag.FlagSet, flagKeys map[string]string) (Config, error) {
	doing := readingConfig(path)
	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	// viper looks for a key in the environment only if it knows the key from elsewhere.
	setDefaults(v, "", reflect.ValueOf(defaults()))
	known := v.AllKeys()
	if err := knownEnvironment(known, os.Environ()); err != nil {
		return Config{}, fmt.Errorf("reading the environment: %w", err)
	}
	for flag, key := range flagKeys {
		if err := v.BindPFlag(key, flags.Lookup(flag)); err != nil {
			return Config{}, fmt.Errorf("reading the flag --%s: %w", flag, err)
		}
	}
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", doing, readable(err))
		}
		v.SetConfigType("yaml")
		if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
			return Config{}, fmt.Errorf("%s: %w", doing, readable(err))
		}
		if key := strangePath(text, known); key != "" {
			return Config{}, fmt.Errorf("%s: %s: no such setting; config.yaml of this version lists all of them", doing, key)
		}
	}
	var cfg Config
	if err := v.UnmarshalExact(&cfg, func(d *mapstructure.DecoderConfig) {
		d.WeaklyTypedInput = false // it takes true for 1, and 30 for 30ns
		d.DecodeHook = fromText
	}); err != nil {
		return Config{}, fmt.Errorf("%s: %w", doing, explain(err))
	}
	return cfg, nil
}

// strangePath returns the first key of a file that has a dot in its name and leads to no setting; empty when there is
// none. viper takes it for a path, and where that leads into a list it reads the one or the other by chance.
func strangePath(text []byte, known []string) string {
	const below = "\x00"
	v := viper.NewWithOptions(viper.KeyDelimiter(below))
	v.SetConfigType("yaml")
	if v.ReadConfig(bytes.NewReader(text)) != nil { // which was said
		return ""
	}
	for _, key := range slices.Sorted(slices.Values(v.AllKeys())) {
		if dotted := strings.ReplaceAll(key, below, "."); strings.Contains(key, ".") && !slices.Contains(known, dotted) {
			return dotted
		}
	}
	return ""
}

// readable takes the words of viper and of the system off an error of reading the file.
func readable(err error) error {
	var path *fs.PathError
	var parse viper.ConfigParseError
	switch {
	case errors.As(err, &path):
		return path.Err // the path is named already
	case errors.As(err, &parse):
		return fmt.Errorf("not valid YAML: %s", strings.Join(strings.Fields(parse.Unwrap().Error()), " "))
	}
	return err
}

// injected are the variables that Kubernetes and Docker give every container for each Service, one called
// clairwatch or clairwatch-something included.
var injected = regexp.MustCompile(`^` + envPrefix + `_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// knownEnvironment refuses variables that look like settings and are none: one that is misspelt would
// have no effect.
func knownEnvironment(keys, environment []string) error {
	known := map[string]bool{clairVariable: true}
	for _, key := range keys {
		known[envPrefix+"_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = true
	}
	var unknown []string
	for _, pair := range environment {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !known[name] && !injected.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("no such setting: %s; the name is %s_ and the key of config.yaml in capitals, with _ for a dot",
		strings.Join(unknown, ", "), envPrefix)
}

// fromText reads what the environment and flags have only as text into what a setting is. What comes
// typed out of the file must be of the right type.
func fromText(from, to reflect.Value) (any, error) {
	kind, isDuration := to.Kind(), to.Type() == reflect.TypeFor[time.Duration]()
	switch from.Kind() {
	case reflect.String:
	case reflect.Float32, reflect.Float64:
		if kind >= reflect.Int && kind <= reflect.Int64 {
			return nil, fmt.Errorf("%v: %s", from, want(to))
		}
		return from.Interface(), nil
	case reflect.Int, reflect.Int64:
		if isDuration && from.Type() != to.Type() && from.Int() != 0 {
			return nil, fmt.Errorf("%d has no unit: %s", from.Int(), want(to))
		}
		return from.Interface(), nil
	default:
		return from.Interface(), nil
	}
	text := from.String()
	var value any
	var err error
	switch {
	case isDuration:
		value, err = time.ParseDuration(text)
	case kind == reflect.Int:
		value, err = strconv.Atoi(text)
	case kind == reflect.Bool:
		value, err = strconv.ParseBool(text)
	case to.Type() == reflect.TypeFor[[]string]():
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }), nil
	case kind == reflect.Slice:
		return nil, errors.New("want a list of maps, which only the file can hold")
	default:
		return text, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %s", text, want(to))
	}
	return value, nil
}

// want says what a setting is, to somebody who wrote something else.
func want(to reflect.Value) string {
	switch {
	case to.Type() == reflect.TypeFor[time.Duration]():
		return "want a duration such as 30s"
	case to.Kind() == reflect.Int:
		return "want a whole number"
	case to.Kind() == reflect.Bool:
		return "want true or false"
	}
	return "want a text"
}

// setDefaults gives viper every key with its default.
func setDefaults(v *viper.Viper, prefix string, s reflect.Value) {
	for i := range s.NumField() {
		key, field := prefix+camel(s.Type().Field(i).Name), s.Field(i)
		if field.Kind() == reflect.Struct {
			setDefaults(v, key+".", field)
			continue
		}
		v.SetDefault(key, field.Interface())
	}
}

// camel turns the name of a field into that of its key.
func camel(field string) string {
	if strings.ToUpper(field) == field { // URL
		return strings.ToLower(field)
	}
	for _, short := range []string{"PSK", "CA"} {
		if rest, ok := strings.CutPrefix(field, short); ok && rest[:1] == strings.ToUpper(rest[:1]) {
			return strings.ToLower(short) + rest
		}
	}
	return strings.ToLower(field[:1]) + field[1:]
}

// explain turns mapstructure's words into those of somebody who edits YAML, one line for each mistake.
func explain(err error) error {
	var mistakes []error
	for _, e := range decodeErrors(err) {
		key, words := keyOf(e.Name()), e.Unwrap().Error()
		if unknown, ok := strings.CutPrefix(words, "has invalid keys: "); ok {
			for k := range strings.SplitSeq(unknown, ", ") {
				mistakes = append(mistakes, fmt.Errorf("%s: no such setting; config.yaml of this version lists all of them", strings.TrimPrefix(key+"."+k, ".")))
			}
			continue
		}
		var wrongType *mapstructure.UnconvertibleTypeError
		switch {
		case errors.As(e, &wrongType):
			words = want(wrongType.Expected)
		case strings.HasPrefix(words, "source data must be an array"):
			words = "want a list"
		case strings.HasPrefix(words, "expected a map"):
			words = "want a map"
		}
		mistakes = append(mistakes, fmt.Errorf("%s: %s", key, words))
	}
	if len(mistakes) == 0 { // what mapstructure has not said in its usual way
		return err
	}
	return joined(mistakes)
}

// decodeErrors finds the errors of single settings in what mapstructure has joined.
func decodeErrors(err error) []*mapstructure.DecodeError {
	switch e := err.(type) {
	case *mapstructure.DecodeError:
		if inner := decodeErrors(e.Unwrap()); len(inner) > 0 {
			return inner
		}
		return []*mapstructure.DecodeError{e}
	case interface{ Unwrap() []error }:
		var all []*mapstructure.DecodeError
		for _, inner := range e.Unwrap() {
			all = append(all, decodeErrors(inner)...)
		}
		return all
	case interface{ Unwrap() error }:
		return decodeErrors(e.Unwrap())
	}
	return nil
}

// keyOf turns the path of a field, Clairs[0].IndexTimeout, into that of its key. The path of the whole is
// the name of its type; it has no key.
func keyOf(path string) string {
	if path == reflect.TypeFor[Config]().String() {
		return ""
	}
	fields := strings.Split(path, ".")
	for i, f := range fields {
		name, index, list := strings.Cut(f, "[")
		if name != "" {
			fields[i] = camel(name)
		}
		if list {
			fields[i] += "[" + index
		}
	}
	return strings.Join(fields, ".")
}

// joined joins mistakes in the order of their keys.
func joined(mistakes []error) error {
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(mistakes...)
}
