"""Records as structured text holds them: fields with a key and a value, drawn field by field."""

from dataclasses import dataclass
from random import Random

from training.corpus import english
from training.corpus.scene import Scene
from training.corpus.template import Piece

# Keys (alternatives for one meaning) and the slots their values come from. Persons carry a number: 1 is the
# record's own person, others are drawn anew.
_PERSON_KEYS: tuple[tuple[str, str], ...] = (
    ("name full_name customer_name client_name user_name display_name contact_name account_name", "full#1"),
    ("passenger passenger_name traveler guest guest_name lead_guest", "full#1"),
    ("patient patient_name member_name subscriber policyholder insured beneficiary claimant", "full#1"),
    ("employee employee_name manager supervisor assignee assigned_to reporter requester owner", "full"),
    ("author reviewer approver created_by updated_by committer maintainer editor", "full"),
    ("sender recipient to from contact attendee organizer host speaker participant", "full"),
    ("cardholder account_holder payer payee borrower guarantor signatory", "full#1"),
    ("emergency_contact next_of_kin spouse dependent referred_by agent_name driver student teacher", "full"),
    ("name customer person contact_person", "full_form"),
    ("name sort_name", "last_first#1"),
    ("nickname preferred_name alias", "nick"),
    ("user_id username login user handle customer_id", "handle#1"),
    ("doctor physician attending provider advisor", "titled"),
)
_NAME_PAIRS = (
    ("first_name", "last_name"),
    ("given_name", "family_name"),
    ("first", "last"),
    ("fname", "lname"),
    ("forename", "surname"),
    ("firstname", "lastname"),
)
_PLACE_KEYS = (
    ("city town municipality locality", "city"),
    ("state province region", "state"),
    ("state province", "state_code"),
    ("country nation country_of_residence", "country"),
    ("country country_code", "country_code"),
    ("location hometown birthplace place_of_birth venue_city site", "place"),
    ("origin destination departure_city arrival_city from_city to_city pickup_location", "city"),
    ("location region", "city_state"),
    ("nationality citizenship ethnicity religion", "nrp"),
)
_ADDRESS_KEYS = (
    ("address street_address address1 address_line_1 line1 street mailing_address", "street"),
    (
        "address full_address home_address shipping_address billing_address delivery_address residence",
        "address_line",
    ),
    ("address address_block", "address_lines"),
    ("address2 address_line_2 line2 apartment suite", "unit"),
    ("zip zip_code postal_code postcode zipcode", "postcode"),
)
_OTHER_KEYS = (
    ("id order_id reservation_id ticket_id case_id invoice_id product_id item_id ref reference", "id"),
    ("trace_id hash checksum sha digest", "hex"),
    ("uuid request_id session_id correlation_id", "uuid"),
    ("status state payment_status shipment_status order_status", "status"),
    ("date created_at due_date departure_date expiry valid_until", "date"),
    ("timestamp created updated_at last_login start_time", "timestamp"),
    ("time departure_time scheduled_at opens_at", "time"),
    ("price amount total balance cost fee premium salary", "amount"),
    ("quantity count seats items nights age score retries", "int"),
    ("rate ratio weight latitude temperature confidence", "float"),
    ("flight flight_number", "flight"),
    ("origin destination from to airport", "airport_code"),
    ("booking_code confirmation pnr locator", "booking"),
    ("product item item_name title description", "product"),
    ("company employer organization vendor merchant bank account", "org"),
    ("airline carrier", "airline"),
    ("hotel restaurant venue store branch", "venue"),
    ("department team unit group division", "department"),
    ("job_title role position occupation", "job"),
    ("job_title profession occupation trade", "trade"),
    ("tagline slogan motto description", "catch_phrase"),
    ("tag topic keyword value option choice name", "capitalised"),
    ("tag keyword value answer", "word"),
    ("code abbreviation symbol unit_code", "acronym"),
    ("comment text body content message", "words_in_a_row"),
    ("currency_name", "currency_name"),
    ("email email_address contact_email", "email#1"),
    ("phone mobile phone_number", "phone"),
    ("card_number account_number iban ssn", "card"),
    ("url link website href", "url"),
    ("file path filename attachment", "file"),
    ("function tool action operation event name", "snake"),
    ("class type kind category exception", "class"),
    ("color colour", "colour"),
    ("language lang locale", "language"),
    ("cabin class tier membership", "status"),
    ("model device", "model"),
    ("currency", "currency"),
    ("version", "version"),
    ("ip client_ip host", "ip"),
    ("software app application platform name", "software"),
    ("message note comment summary subject reason description", "phrase"),
    ("title subject heading label name", "title_case"),
    ("note description details instructions", "sentence"),
    ("error error_message detail", "error"),
    ("timezone tz", "timezone"),
    ("brand manufacturer make", "brand"),
    ("airport_name station", "airport"),
    ("menu_item dish", "food"),
    ("pet species breed", "animal"),
    ("day weekday", "weekday"),
    ("month period", "month"),
)


@dataclass(frozen=True)
class Field:
    """One field: key words joined by underscores, the value's pieces, and whether it is written bare."""

    key: str
    value: list[Piece]
    slot: str

    @property
    def is_number(self) -> bool:
        """Whether JSON would not quote it."""
        return self.slot in ("int", "float")


Plan = list[tuple[str, str]]


def plan(rng: Random, personal: bool = True) -> Plan:
    """The (key, slot) pairs of a record: people, places and addresses among other fields, shuffled."""
    chosen: Plan = []
    if personal:
        if rng.random() < 0.45:
            pair = rng.choice(_NAME_PAIRS)
            chosen += [(pair[0], "first#1"), (pair[1], "last#1")]
        for _ in range(rng.choice((0, 1, 1, 2))):
            chosen.append(_key(rng, rng.choice(_PERSON_KEYS)))
        if rng.random() < 0.4:
            chosen += [_key(rng, row) for row in rng.sample(_ADDRESS_KEYS, rng.randrange(1, 4))]
        for _ in range(rng.choice((0, 0, 1, 2))):
            chosen.append(_key(rng, rng.choice(_PLACE_KEYS)))
    chosen += [_key(rng, rng.choice(_OTHER_KEYS), 0.3) for _ in range(rng.randrange(1, 8))]
    if rng.random() < 0.5:
        rng.shuffle(chosen)
    return list({key: (key, slot) for key, slot in chosen}.values())


def fill(scene: Scene, fields: Plan) -> list[Field]:
    """A record of the plan's fields."""
    made: list[Field] = []
    for key, slot in fields:
        kind, _, number = slot.partition("#")
        made.append(Field(key, scene.fill(kind, number), kind))
    return made


def styled(key: str, style: str) -> str:
    """A key in one of the styles snake, camel, pascal, title, kebab, upper, spaced."""
    if style == "camel":
        head, *rest = key.split("_")
        return head + "".join(part.title() for part in rest)
    styles = {
        "pascal": key.title().replace("_", ""),
        "title": key.replace("_", " ").title(),
        "kebab": key.replace("_", "-"),
        "upper": key.upper(),
        "spaced": key.replace("_", " ").capitalize(),
    }
    return styles.get(style, key)


def _key(rng: Random, row: tuple[str, str], open_share: float = 0.12) -> tuple[str, str]:
    """One of the row's keys, or a key of any words, alone or before or after the row's."""
    key = rng.choice(row[0].split())
    if rng.random() < open_share:
        other = english.noun(rng)
        key = rng.choice((other, f"{other}_{key}", f"{key}_{other}", f"{english.verb(rng)}_{other}"))
    return key, row[1]
