"""What must become of the ten real batches, counted without crmflow: real_data_counts.py FOLDER

It reads the batches in order and follows the rules of design.md (Contracts, 2 to 4) in the plainest way: a
table of addresses in memory. README.md of this folder says which rule makes which count. The result is what
real_data.rs expects.
"""

import json
import pathlib
import re
import sys
import unicodedata

# An e-mail address as HTML's `input type=email` has it; at most 64 characters before the @.
ADDRESS = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)


def key(address):
    """The one spelling of an address, or None where it is none. No address of these batches is in IDN."""
    address = unicodedata.normalize("NFC", address.strip())
    return address.lower() if ADDRESS.fullmatch(address) else None


def is_valid(record):
    """The schema: name, email and optIn are required, interests where given a list of at least one string."""
    if not isinstance(record, dict):
        return False
    name, email, opt_in = record.get("name"), record.get("email"), record.get("optIn")
    if not isinstance(name, str) or not isinstance(email, str) or not isinstance(opt_in, bool):
        return False
    if "interests" in record:
        interests = record["interests"]
        if not isinstance(interests, list) or not interests:
            return False
        if not all(isinstance(interest, str) for interest in interests):
            return False
    return key(email) is not None


def count(batch, stored):
    outcomes = dict.fromkeys(["saved", "unchanged", "withdrawn", "ignored", "duplicate", "invalid", "failed"], 0)
    first, disputed = {}, set()
    for record in batch:
        if not is_valid(record):
            outcomes["invalid"] += 1
            continue
        address = key(record["email"])
        if address not in first:
            first[address] = record
            continue
        outcomes["duplicate"] += 1
        if record["optIn"] != first[address]["optIn"]:
            disputed.add(address)
    for address, record in first.items():
        content = {name: value for name, value in record.items() if name != "email"}
        content["email"] = record["email"].strip()
        known = stored.get(address)
        if record["optIn"] and address not in disputed:
            outcome = "unchanged" if known == content else "saved"
            stored[address] = content
        elif known is None:
            outcome = "ignored"
        else:
            outcome = "withdrawn" if known["optIn"] else "unchanged"
            stored[address] = known | {"optIn": False}
        outcomes[outcome] += 1
    return outcomes


def main(folder):
    stored = {}
    for file in sorted(pathlib.Path(folder).glob("batch_*.json")):
        batch = json.loads(file.read_text())
        outcomes = count(batch, stored)
        assert sum(outcomes.values()) == len(batch)
        print(f"    {list(outcomes.values())},")
    opted_in = sum(contact["optIn"] for contact in stored.values())
    print(f"stored {len(stored)}, opted in {opted_in}")


main(sys.argv[1])
