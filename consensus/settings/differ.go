package settings

import (
	"fmt"
	"slices"
	"strings"

	"praefect/fsm/condition"
)

// nodeKey begins the keys of a storage.
func nodeKey(virtualStorage, storage string) string {
	return "virtual_storage." + virtualStorage + ".node." + storage + "."
}

// Differing returns the keys that not all reports have alike, in their order, with the value at each
// instance. A value that is hashed in the reports is not told. Two addresses of a storage that lead
// to one place are alike.
func Differing(reports []Report) []condition.Setting {
	keys := make(map[string]func(Report) (condition.SettingValue, *Storage))
	for _, r := range reports {
		for _, v := range r.Values {
			keys[v.Key] = func(r Report) (condition.SettingValue, *Storage) { return valueOf(r, v.Key), nil }
		}
		for _, vs := range r.VirtualStorages {
			for _, s := range vs.Storages {
				keys[nodeKey(vs.Name, s.Name)+"address"] = func(r Report) (condition.SettingValue, *Storage) {
					found := r.VirtualStorage(vs.Name).Storage(s.Name)
					if found == nil {
						return condition.SettingValue{Absent: true}, nil
					}
					return condition.SettingValue{Value: found.Address}, found
				}
			}
		}
	}
	var all []condition.Setting
	for key, find := range keys {
		if values := group(reports, find); len(values) > 1 {
			all = append(all, condition.Setting{Key: key, Values: values})
		}
	}
	slices.SortFunc(all, func(a, b condition.Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// valueOf is what a report has under a key. A hash stands in Value until group has compared it.
func valueOf(r Report, key string) condition.SettingValue {
	i := slices.IndexFunc(r.Values, func(v Value) bool { return v.Key == key })
	if i < 0 {
		return condition.SettingValue{Absent: true}
	}
	return condition.SettingValue{Value: r.Values[i].Value, Secret: r.Values[i].Hashed}
}

// group joins the instances that have the same value.
func group(reports []Report, find func(Report) (condition.SettingValue, *Storage)) []condition.SettingValue {
	var values []condition.SettingValue
	var places []*Storage
	for _, r := range reports {
		value, at := find(r)
		i := 0
		for ; i < len(values); i++ {
			v := values[i]
			if v.Value == value.Value && v.Absent == value.Absent && v.Secret == value.Secret || at != nil && places[i] != nil && at.SamePlace(*places[i]) {
				break
			}
		}
		if i == len(values) {
			values, places = append(values, value), append(places, at)
		}
		values[i].Instances = append(values[i].Instances, r.Instance)
	}
	for i := range values {
		if values[i].Secret {
			values[i].Value = ""
		}
	}
	return values
}

// Of returns those of the differing keys that belong to a storage, to a virtual storage if storage is
// empty, or to none if both are.
func Of(all []condition.Setting, virtualStorage, storage string) []condition.Setting {
	return slices.DeleteFunc(slices.Clone(all), func(s condition.Setting) bool {
		switch {
		case storage != "":
			return !strings.HasPrefix(s.Key, nodeKey(virtualStorage, storage))
		case virtualStorage != "":
			return !strings.HasPrefix(s.Key, "virtual_storage."+virtualStorage+".node.")
		}
		return strings.HasPrefix(s.Key, "virtual_storage.")
	})
}

// Differences says of each key that belongs to no storage, and of which two instances have different values, which
// instances have which. A value that is hashed in the reports is not told.
func Differences(reports []Report) []string {
	var all []string
	for _, s := range Of(Differing(reports), "", "") {
		var parts []string
		untold := "a value that is not shown"
		for _, v := range s.Values {
			if v.Absent {
				continue
			}
			shown := v.Value
			if v.Secret {
				shown, untold = untold, "another one"
			}
			parts = append(parts, fmt.Sprintf(`%s at "%s"`, shown, strings.Join(v.Instances, `", "`)))
		}
		if len(parts) > 1 {
			all = append(all, fmt.Sprintf("the settings differ: %s is %s", s.Key, strings.Join(parts, ", and ")))
		}
	}
	return all
}
