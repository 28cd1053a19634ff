# ruff: noqa: E501
"""The wording of the evaluation's forms. Nothing here is shared with the training templates."""

# Prose in English, for every locale. Slots as in template.py.
PROSE = (
    "Good afternoon, I would like to speak to someone about my late delivery. The parcel was meant for @{full#1}, and @{first#1} has been waiting since @{date}.",
    "@{full} rang twice this morning regarding contract @{id}; nobody picked up.",
    "We regret to tell you that @{full#1} no longer works here. Mrs. @{last#1} left in @{month}.",
    "Over dinner @{first} told us how she had lost her keys somewhere in @{city}.",
    "After the talk, @{full} and @{full} exchanged cards and went home.",
    "Who should sign? Either @{full} or, failing that, @{full}.",
    "Our records show two deliveries to @{address_line}, both signed by @{full}.",
    "Mail everything to @{address_line} before the end of the week.",
    "She used to rent a flat at @{street} but has since gone back to @{city}.",
    "The removal van leaves @{city} at dawn and should be in @{city} by nightfall.",
    "Nobody in @{city} had heard of it, @{first} least of all.",
    "Apparently @{full}'s cousin runs the little garage behind the church.",
    "Kindly inform @{full} that the keys are ready for collection.",
    "Witness statement of @{full#1}: on the night in question I was at home at @{address_line}.",
    "I am emailing you because @{first} suggested it. Regards, @{full}",
    "Does @{first} still teach evening classes in @{city}?",
    "The winner is @{full}! Congratulations, @{first}, see you on stage.",
    "My tutor was a certain @{full}, who had grown up near @{city}.",
    "Payment should be made out to @{full}, not to me.",
    "Half of the crew, among them @{first} and @{first}, fell ill.",
    "It was @{full} who noticed that the meter at @{street} had stopped.",
    "Between you and me, @{first} never liked the idea of moving to @{city}.",
    "P.S. @{full} sends greetings from @{city}.",
    "According to the caretaker, a parcel for @{full} has been lying in the hall for days.",
    "Kid's school called: @{first} forgot the gym bag again.",
    "If @{full} does not object by @{date}, the transfer goes ahead.",
)

# One or two sentences in the locale's own language.
LOCAL_PROSE: dict[str, tuple[str, ...]] = {
    "de_DE": ("Guten Tag, hier spricht @{full}. Ich habe meine Kundennummer vergessen.", "Das Paket für @{full} liegt seit gestern in @{city}.", "Frau @{last} ist ab Montag wieder im Büro, sagte @{first}."),
    "fr_FR": ("Bonjour, je suis @{full} et je souhaite résilier mon contrat.", "Le colis de @{full} a été livré à @{city}.", "Merci de prévenir @{first} que le rendez-vous est annulé."),
    "es_ES": ("Buenos días, soy @{full} y no puedo entrar en mi cuenta.", "El pedido de @{full} salió ayer de @{city}.", "Dile a @{first} que la reunión se ha cancelado."),
    "it_IT": ("Buongiorno, sono @{full} e vorrei disdire l'abbonamento.", "Il pacco per @{full} è fermo a @{city}.", "Chiedi a @{first} se domani è in ufficio."),
    "pt_BR": ("Bom dia, aqui é @{full}, preciso da segunda via do boleto.", "A encomenda de @{full} saiu de @{city} ontem.", "Avise @{first} que a reunião mudou."),
    "nl_NL": ("Goedemiddag, u spreekt met @{full}. Mijn pakket is niet aangekomen.", "De levering voor @{full} staat nog in @{city}.", "Vraag even aan @{first} of het lukt."),
    "pl_PL": ("Dzień dobry, z tej strony @{full}, dzwonię w sprawie faktury.", "Paczka dla @{full} czeka w miejscowości @{city}.", "Proszę przekazać, że dzwoni @{full}."),
    "sv_SE": ("Hej, jag heter @{full} och vill avsluta mitt abonnemang.", "Paketet till @{full} finns i @{city}.", "Kan du fråga @{first} om nyckeln?"),
    "tr_TR": ("Merhaba, ben @{full}, siparişim hâlâ gelmedi.", "Kargo @{full} adına @{city} şubesinde bekliyor.", "Lütfen @{first} ile görüşün."),
    "ru_RU": ("Здравствуйте, меня зовут @{full}, я не могу войти в аккаунт.", "Посылка для @{full} находится в городе @{city}.", "Позвоните, пожалуйста, @{full}."),
    "ja_JP": ("お世話になっております。@{full}と申します。", "担当者は@{full}です。", "荷物は@{city}にあります。"),
    "zh_CN": ("您好，我是@{full}，我想取消订单。", "收件人：@{full}，城市：@{city}。", "请联系@{full}。"),
    "ar_SA": ("مرحبا، اسمي @{full} وأريد إلغاء الطلب.", "الطرد الخاص بـ @{full} موجود في @{city}.", "يرجى الاتصال بـ @{full}."),
    "he_IL": ("שלום, שמי @{full} ואני רוצה לבטל את ההזמנה.", "החבילה של @{full} נמצאת ב@{city}.", "נא להתקשר אל @{full}."),
    "hi_IN": ("नमस्ते, मेरा नाम @{full} है और मुझे रिफंड चाहिए।", "@{full} का पार्सल @{city} में है।", "कृपया @{full} से बात करें।"),
}  # fmt: skip

JSON = (
    '{"ticketHolder": "@{full}", "gate": "@{int}", "boarding": "@{time}"}',
    '{"op": "upsert", "doc": {"personName": "@{full#1}", "kontakt": "@{email#1}", "rev": @{int}}}',
    '{"members": ["@{full}", "@{full}", "@{full}"], "quorum": @{int}}',
    '{"whoami": {"givenNames": "@{first}", "familyNames": "@{last}"}, "ttl": @{int}}',
    '[{"k": "lead", "v": "@{full}"}, {"k": "site", "v": "@{city}"}, {"k": "build", "v": "@{hex}"}]',
    '{"deliverTo": {"attn": "@{full}", "where": "@{address_line}"}, "weightKg": @{float}}',
    '{"signedBy":"@{last_first}","on":"@{date}","hash":"@{hex}"}',
    '{"result": {"rows": [["@{full}", "@{city}", @{int}], ["@{full}", "@{city}", @{int}]]}}',
    '{"Tenant": "@{full}", "Property": "@{address_line}", "RentDue": "@{amount}"}',
    '{"note": "call @{full} back re @{id}", "prio": "@{status}"}',
    '{"trip": {"leaveFrom": "@{city}", "headingTo": "@{city}", "riders": ["@{full}"]}}',
    '{"handler_person": "@{full}", "deputy_person": "@{full}", "queue": "@{digest|receipt|second-line|night-shift}"}',
)

CSV = (
    "participant_no,participant,residence,fee\n@{int},@{full},@{city},@{amount}\n@{int},@{full},@{city},@{amount}\n@{int},@{full},@{city},@{amount}",
    "@{date};@{last};@{first};@{int};@{status}\n@{date};@{last};@{first};@{int};@{status}",
    '"Holder","Street","Units"\n"@{full}","@{street}",@{int}\n"@{full}","@{street}",@{int}',
    "@{id}\t@{full}\t@{product}\t@{float}\n@{id}\t@{full}\t@{product}\t@{float}",
    "runner,club,town,finish\n@{full},@{org},@{city},@{time}\n@{full},@{org},@{city},@{time}",
    "@{timestamp},@{full},signin,@{ip}\n@{timestamp},@{full},signoff,@{ip}",
    "surname|forenames|ward|bed\n@{last}|@{first}|@{department}|@{int}\n@{last}|@{first}|@{department}|@{int}",
)

SQL = (
    "INSERT INTO library.members (member_no, holder, dwelling) VALUES (@{int}, '@{full}', '@{street}');",
    "INSERT INTO roster VALUES ('@{full}', '@{job}', @{int}), ('@{full}', '@{job}', @{int});",
    "UPDATE crew SET skipper = '@{full}' WHERE vessel_no = @{int};",
    "SELECT seat_no FROM manifest WHERE fore_name = '@{first}' AND sur_name = '@{last}';",
    "MERGE INTO tenants t USING (SELECT '@{full}' AS holder, '@{city}' AS town) s ON t.holder = s.holder;",
    "insert into audit_who (actor, origin_town, seen) values ('@{full}', '@{city}', '@{timestamp}')",
    "DELETE FROM visitors WHERE visitor = '@{full}' AND visited_on < '@{date}';",
    "COPY donors (donor, town) FROM stdin;\n@{full}\t@{city}\n@{full}\t@{city}\n\\.",
)

KWARGS = (
    'register_visit(visitor="@{full}", badge=@{int}, escorted=False)',
    "make_reservation(holder='@{full}', seats=@{int}, town='@{city}')",
    'notify(whom="@{full}", template="@{digest|receipt|second-line|night-shift}", retries=@{int})',
    "lookup_person(given='@{first}', family='@{last}', limit=@{int})",
    "ParcelLabel(addressee='@{full}', lines='@{address_line}', grams=@{int})",
    'hire(candidate="@{full}", grade="@{status}", starts="@{date}", city="@{city}")',
    "dispatch_van(pick_up='@{address_line}', set_down='@{address_line}', helper='@{full}')",
    'Visitor(salutation="", forenames="@{first}", surname="@{last}", stay=@{int})',
    "approve(request_no='@{id}', countersigned_by='@{full}')",
)

LOG = (
    "@{timestamp} auth[@{int}]: accepted badge of @{full} at gate @{int}",
    '@{timestamp} NOTICE courier.dispatch parcel=@{id} addressee="@{full}" town="@{city}"',
    "I@{int} @{time} visitors.go:@{int}] signed in visitor @{full}",
    '@{ip} "@{full}" [@{timestamp}] "PUT /desk/@{int}" 204',
    "@{timestamp} WARN  payroll - no bank details for employee @{full} (@{id})",
    "audit: actor=@{full} verb=@{open|close|approve|sign} object=@{id} at=@{timestamp}",
    "@{timestamp} [worker-@{int}] sent reminder to @{full}, @{city}",
    "kernel-desk @{time} door opened by @{last_first}",
    "@{timestamp} mailer: bounced letter to @{full}, @{address_line}",
)

# Lower-case chat; the generator lowers everything.
LOWER = (
    "yo can someone ping @{full}, the door in @{city} is stuck again",
    "i think @{first} @{last} already paid for that",
    "this is @{full} btw, sorry for the wait",
    "pls drop it off at @{address_line} thx",
    "talked w @{full} and @{full}, both fine with it",
    "moving from @{city} to @{city} soon so pls cancel",
    "can u tell @{full} i'm running late",
    "name on the card is @{full}",
    "my brother @{full} will pick it up instead",
    "it was sold by @{full} from @{city}",
)

# Capitals; the generator raises everything.
UPPER = (
    "MANIFEST @{id} PAX @{full} SEAT @{int}",
    "DELIVER TO @{full}, @{address_line}",
    "REMITTER: @{full} REF @{id} AMT @{amount}",
    "WITNESS @{full} APPEARED BEFORE THE COURT IN @{city}",
    "URGENT: CALL @{full} ABOUT @{id}",
    "HOLDER=@{full} TOWN=@{city} STATE=@{status}",
    "LAST SEEN IN @{city} WITH @{full}",
    "PAYEE @{last_first} APPROVED BY @{full}",
    "ALERT @{timestamp} BADGE OF @{full} DENIED",
)
