#!/usr/bin/env python3
"""Writes phone_zones.txt and country_zones.txt, which say in which time zones the owner of a phone number may be.

    python3 -m venv zones && zones/bin/pip install phonenumbers tzdata==2025.2 regex
    zones/bin/python shared/data/generate_phone_zones.py

Give tzdata the version of the tz database that chrono-tz was built from; a test says when the two differ. The same
versions write the same bytes. Three things are done to libphonenumber's table, each
because it was made to show one likely zone to people, and ours decides whom to call at night:

- A prefix of mobile numbers ("614" is Sydney, "79" is Moscow) says nothing about where its owner lives. Every prefix
  below which libphonenumber's own metadata knows mobile, VoIP or nationwide numbers is split, and the parts that are not
  bound to a place are marked "*": their owner may be anywhere in the number's country.
- Zones whose clocks show the same time from SAME_FROM on are one zone; the one that most prefixes name stands for all.
- Old names of zones are replaced by the names of the tz database's zone.tab.
"""

import collections
import datetime
import importlib.metadata
import importlib.resources
import pathlib
import zoneinfo

import phonenumbers
import regex
import tzdata
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.tzdata import TIMEZONE_DATA

HERE = pathlib.Path(__file__).parent
SAME_FROM = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
SAME_HOURS = 2 * 366 * 24
# libphonenumber's GEO_MOBILE_COUNTRIES: their mobile numbers carry an area code.
GEOGRAPHIC_MOBILES = {52, 54, 55, 62, 86}
# Digits by which a prefix is split at most; what is still undecided then counts as bound to no place.
DEEPEST_SPLIT = 4
# Links that zone.tab's merging would lead to another country.
RENAMED = {"Africa/Asmera": "Africa/Asmara", "Pacific/Ponape": "Pacific/Pohnpei", "Pacific/Truk": "Pacific/Chuuk"}
# Where the most prefixes name a zone that few people would look for.
PREFERRED = {"America/Anchorage", "Asia/Almaty", "Asia/Kuala_Lumpur"}
# The table's own mistakes. Area code 7 is Queensland, which keeps no summer time, with a strip of New South Wales.
CORRECTIONS = {"617": ("Australia/Brisbane", "Australia/Sydney")}

zoneinfo.reset_tzpath(to=[])  # the package's zones alone, not this machine's
base = importlib.resources.files("tzdata") / "zoneinfo"


def zone_tab():
    zones = collections.defaultdict(list)
    for line in (base / "zone.tab").read_text().splitlines():
        if not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            zones[country].append(zone)
    return dict(zones)


def links():
    rows = (line.split() for line in (base / "tzdata.zi").read_text().splitlines() if line.startswith("L "))
    return {new: old for _, old, new in rows}


COUNTRY_ZONES = zone_tab()
KNOWN = {zone for zones in COUNTRY_ZONES.values() for zone in zones}
LINKS = links()


def renamed(zone):
    if zone in KNOWN:
        return zone
    name = RENAMED.get(zone) or LINKS[zone]
    assert name in KNOWN, f"{zone} leads to {name}, which zone.tab does not have"
    return name


TABLE = {prefix: tuple(sorted({renamed(zone) for zone in zones})) for prefix, zones in TIMEZONE_DATA.items()}
TABLE |= CORRECTIONS
NAMED = collections.Counter(zone for zones in TABLE.values() for zone in zones)


def behaviour(zone, cache={}):
    """What the zone's clocks show: hour by hour for two years, then every six hours for ten."""
    if zone not in cache:
        info = zoneinfo.ZoneInfo(zone)
        hours = [*range(SAME_HOURS), *range(SAME_HOURS, SAME_HOURS + 10 * 366 * 24, 6)]
        cache[zone] = tuple((SAME_FROM + datetime.timedelta(hours=hour)).astimezone(info).utcoffset() for hour in hours)
    return cache[zone]


def standing_for(zone, cache={}):
    """The zone of the same country and the same time that most prefixes name: Denver for Boise."""
    if zone not in cache:
        same = [other for zones in COUNTRY_ZONES.values() if zone in zones for other in zones]
        same = [other for other in same if behaviour(other) == behaviour(zone)]
        cache[zone] = min(same, key=familiar)
    return cache[zone]


def familiar(zone):
    return zone not in PREFERRED, -NAMED[zone], zone


def collapsed(zones):
    groups = collections.defaultdict(set)
    for zone in map(standing_for, zones):
        groups[behaviour(zone)].add(zone)
    return tuple(sorted(min(group, key=familiar) for group in groups.values()))


def calling_code(digits):
    return next(code for n in (1, 2, 3) if (code := int(digits[:n])) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def patterns(code):
    """Of every region of a calling code: what is bound to a place, and what is not."""
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        data = PhoneMetadata.metadata_for_region(region, None)
        if data is None:
            continue
        pattern = lambda desc: desc and desc.national_number_pattern or None
        fixed, mobile = pattern(data.fixed_line), pattern(data.mobile)
        loose = [pattern(data.voip), pattern(data.uan)]
        if code not in GEOGRAPHIC_MOBILES and mobile != fixed:
            loose.append(mobile)
        yield fixed, [loose for loose in loose if loose and loose != fixed]


def can_begin(pattern, digits):
    return pattern is not None and regex.fullmatch(pattern, digits, partial=True) is not None


def loose_parts(code, national, depth=0):
    """The shortest prefixes at or below `national` whose numbers are bound to no place."""
    kinds = list(patterns_of(code))
    fixed = any(can_begin(pattern, national) for pattern, _ in kinds)
    loose = any(can_begin(pattern, national) for _, many in kinds for pattern in many)
    if not loose:
        return []
    if not fixed or depth == DEEPEST_SPLIT:
        return [national]
    below = [part for digit in "0123456789" for part in loose_parts(code, national + digit, depth + 1)]
    return [national] if len(below) == 10 and all(len(part) == len(national) + 1 for part in below) else below


def patterns_of(code, cache={}):
    if code not in cache:
        cache[code] = list(patterns(code))
    return cache[code]


def countries():
    found = {}
    for country, zones in COUNTRY_ZONES.items():
        code = phonenumbers.country_code_for_region(country)
        likely = [zone for zone in zones if zone in TABLE.get(str(code), ())]
        found[country] = collapsed(likely or zones)
    return found


def prefixes(by_country):
    table = {}
    for prefix, zones in sorted(TABLE.items()):
        code = calling_code(prefix)
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
        one_time = len(regions) == 1 and len(by_country.get(regions[0], ())) == 1
        # What only repeats the number's country is left to country_zones.txt.
        if prefix == str(code) or one_time:
            continue
        table[prefix] = collapsed(zones)
        for part in loose_parts(code, prefix[len(str(code)):]):
            table.setdefault(f"{code}{part}", "*")
            if f"{code}{part}" == prefix:
                table[prefix] = "*"
    # What only repeats the next shorter prefix says nothing new.
    value = lambda prefix: next((table[prefix[:n]] for n in range(len(prefix) - 1, 0, -1) if prefix[:n] in table), "*")
    return {prefix: zones for prefix, zones in table.items() if value(prefix) != zones}


def write(name, head, rows):
    lines = [f"# {line}".rstrip() for line in head.strip().splitlines()]
    text = [f"{key} {'&'.join(zones)}" for key, zones in sorted(rows.items())]
    (HERE / name).write_text("\n".join([*lines, *text]) + "\n")


by_country = countries()
version = importlib.metadata.version("phonenumbers")
write(
    "country_zones.txt",
    f"""
The zones of each country, by ISO 3166 code; zones that keep the same time are one. Written by generate_phone_zones.py
from the tz database {tzdata.IANA_VERSION} (public domain) and the Python package phonenumbers {version}.
""",
    by_country,
)
write(
    "phone_zones.txt",
    f"""
The zones of phone numbers by the digits behind the plus; "*": anywhere in the number's country. The longest prefix
counts. Written by generate_phone_zones.py, which says what it changes, from libphonenumber's table of the Python
package phonenumbers {version}, with the tz database {tzdata.IANA_VERSION}.

Copyright (C) 2012-2026 The Libphonenumber Authors. Licensed under the Apache License, Version 2.0: see
libphonenumber-LICENSE.txt beside this file.
""",
    prefixes(by_country),
)
