"""Words by which answers decline to answer, language by language, as regular expressions.

They are matched in lower case against one sentence without its quotations. TURNS end an abstention:
"I don't know why, but it is blue" is an answer.
"""

ENGLISH = (
    r"\b(?:i|we|scientists|experts|historians|researchers) (?:really |honestly |still |just |simply )*"
    r"(?:do not|don't|didn't|did not) (?:really |actually |yet |personally |currently )*"
    r"(?:know(?! of an)(?! that )|remember|recall|understand the question)",
    r"\b(?:dunno|idk)\b|^no idea\b|\bno clue\b|\bbeats me\b|\bas good as mine\b|^who knows\b",
    r"\bi(?:'ve| have)? (?:have |got )?(?:absolutely )?no "
    r"(?:idea|clue|comment|opinion|knowledge|information|answer|personal)",
    r"^no comment\b",
    r"\bi (?:do not|don't) (?:currently |really |personally )*have (?:an? |any |the |enough |personal |"
    r"sufficient |specific |reliable |real-time )*(?:opinion|answer|information|access|knowledge|data|"
    r"beliefs|experience|details|context|ability)",
    r"\b(?:i'm|i am|we are|we're) (?:really |just |still |currently |sorry, but i'm |honestly )*"
    r"(?:not (?:\S+ )?(?:sure|certain|able|familiar|qualified)|unsure|uncertain|unable|unaware|"
    r"not aware(?! of any)|not in a position)\b",
    r"\b(?:i|we) (?:really |simply |just )*(?:can't|cannot|can not|could not|couldn't|am unable to|"
    r"won't|will not|would rather not|decline to|refuse to|prefer not to) (?:really |honestly |"
    r"definitively |reliably )*(?:say|tell(?! a lie)|answer|verify|confirm|determine|know|be sure|"
    r"be certain|provide|help|assist|comment|find|speak to|speculate|predict|give|discuss)",
    r"\bi'd rather not\b",
    r"\b(?:nobody|no one|no-one|none of us) (?:\w+ly |else )?(?:knows|can (?:say|tell|know|be sure))\b",
    r"^(?:it(?:'s| is) )?(?:still |currently |as yet )?(?:unknown|unclear|uncertain|undetermined|"
    r"not known|unanswerable|debatable)\b",
    r"\b(?:is|are|was|were|remains?|it's) (?:still |currently |as yet |largely |simply |a )*"
    r"(?:unknown|unclear|uncertain|undetermined|unanswerable|mystery|not (?:yet |fully )?"
    r"(?:known|clear|certain)(?! (?:for|to|as)\b))",
    r"\b(?:can't|cannot|can not) be (?:\w+ly )?(?:known|determined|verified|answered|predicted|"
    r"confirmed)",
    r"\b(?:impossible|hard|difficult|not possible|too early) to (?:say|tell|know|determine|answer|"
    r"predict|verify)",
    r"\bno (?:reliable )?way (?:to know|of knowing|to tell|to determine|to verify)",
    r"\b(?:not enough|insufficient|too little) (?:information|evidence|data|context)",
    r"^(?:there is |there's |there are )?no (?:\w+ )?(?:evidence|information|data|records?)"
    r"(?: available)?(?: either way| (?:about|on) (?:this|that|it))?$",
    r"\bi (?:don't|do not) think (?:anyone|anybody) (?:really )?knows",
    r"\bbeyond (?:my|our) (?:knowledge|abilities|capabilities|scope)",
)
OTHERS = {
    "de": (
        r"\b(?:ich|wir) (?:wei(?:ß|ss)|wissen) (?:es |das |leider |wirklich |auch |noch )*nicht",
        r"\bwei(?:ß|ss) ich (?:leider |auch )*nicht|\bkeine ahnung\b|^kein kommentar\b",
        r"\bich bin (?:mir )?(?:da |leider )*nicht sicher|\bniemand wei(?:ß|ss)\b",
        r"\bich (?:kann|könnte|möchte) .{0,60}\bnicht (?:sagen|beantworten|bestätigen|prüfen|helfen)",
        r"\b(?:ist|bleibt|sind) (?:leider |noch |bis heute )*(?:unklar|unbekannt|ungewiss|nicht bekannt)",
        r"\blässt sich nicht (?:sagen|beantworten|feststellen)",
    ),
    "fr": (
        r"\bje (?:ne )?sais pas|\baucune idée\b|^(?:pas de|aucun|sans) commentaires?\b|\bj[e'] ?(?:l')?ignore",
        r"\bje ne suis pas (?:sûre?|certaine?)|\bje n'ai (?:pas|aucune?) (?:d'|de |la )?"
        r"(?:avis|opinion|réponse|information|commentaire)",
        r"\bje ne peux pas (?:répondre|dire|vérifier|confirmer|aider|vous)",
        r"\b(?:on|nous) ne sa(?:it|vons) pas|\bpersonne ne (?:le )?sait",
        r"\b(?:est|reste|demeure) (?:encore )?(?:inconnu|incertain|un mystère)|\bn'est pas (?:connu|clair)",
    ),
    "es": (
        r"\bno (?:lo |la )?sé\b|\bno lo se\b|\bni idea\b|^sin comentarios\b|\bdesconozco\b",
        r"\bno tengo (?:ni )?(?:idea|comentarios|información|opinión|una respuesta)",
        r"\bno estoy segur|\bno puedo (?:responder|contestar|decir|verificar|confirmar|ayudar)",
        r"\bnadie (?:lo )?sabe\b|\bno se sabe\b|\bse desconoce\b|\bno sabemos\b|\bno está claro\b",
        r"\b(?:es|son|sigue siendo) (?:aún )?(?:desconocid|inciert|un misterio)",
    ),
    "it": (
        r"\bnon (?:lo )?so\b|\bnon ne ho idea\b|^nessun commento\b|\bnon sono sicur",
        r"\bnon ho (?:idea|informazioni|un'opinione|opinioni|commenti|una risposta)",
        r"\bnon posso (?:rispondere|dire|dirlo|verificare|confermare|aiutar)",
        r"\bnessuno (?:lo )?sa\b|\bnon si sa\b|\bnon sappiamo\b|\bnon è (?:chiaro|noto|dato sapere)",
        r"\b(?:è|sono|resta) (?:ancora )?(?:sconosciut|ignot|incert|un mistero)",
    ),
    "pt": (
        r"\bnão (?:o )?sei\b|\bnão faço (?:a )?(?:mínima |menor )?ideia|^sem comentários\b",
        r"\bnão tenho (?:ideia|certeza|informaç|opini|comentário|uma resposta)",
        r"\bnão posso (?:responder|dizer|verificar|confirmar|ajudar)|\bninguém sabe\b",
        r"\bnão se sabe\b|\bnão sabemos\b|\bnão está claro\b|\b(?:é|são) (?:ainda )?(?:desconhecid|incert)",
    ),
    "nl": (
        r"\b(?:ik|we|wij) we(?:et|ten) (?:het |dat |dit |echt |helaas )*niet|\bweet ik niet\b",
        r"\bgeen idee\b|^geen commentaar\b|\bik ben (?:er |daar )*niet zeker|\bniemand weet\b",
        r"\bik kan .{0,60}\bniet (?:zeggen|beantwoorden|bevestigen|controleren|helpen)",
        r"\b(?:is|blijft|zijn) (?:nog |helaas )*(?:onbekend|onduidelijk|onzeker|niet bekend)",
    ),
    "zh": (
        r"(?:^|我|我们|我們|[，,])(?:真的|也|还|還)?不(?:知道|清楚|确定|確定|了解|太清楚)",
        r"(?:无法|無法|不能)(?:回答|确定|確定|确认|確認|核实|核實|验证|驗證|提供)|无可奉告|無可奉告|不予置评",
        r"(?:没|沒)(?:有)?人知道|无人知晓|無人知曉|(?:是|仍|尚|目前|^)(?:未知|不明)|尚不(?:清楚|明确|明確)",
    ),
    "ja": (
        r"(?:わか|分か)り(?:ません|かねます)|(?:わか|分か)らない|知りません|存じません|ノーコメント",
        r"(?:お答え|回答|確認|判断|断言)(?:は|が)?(?:でき|いたしかね)(?:ません|ない|かね|ます)?|答えられ(?:ません|ない)",
        r"不明(?:です|である|だ)?$|定かでは(?:ありません|ない)|誰(?:も|にも)(?:知り|知ら|わか|分か)",
    ),
    "ko": (
        r"모르겠|모릅니다|모른다|몰라요?|알 수 없|(?:답변|대답|확인|말씀)(?:할|드릴|해 드릴) 수 없|노코멘트",
        r"불분명|불확실|확실하지 않|아무도 모|알려지지 않|알려져 있지 않|밝혀지지 않",
    ),
    "ru": (
        r"\bне знаю\b|\bмы не знаем\b|\bпонятия не имею|^без комментариев|\bникто не знает\b",
        r"\bне увер(?:ен|ена)\b|\bне могу (?:ответить|сказать|подтвердить|проверить|помочь|точно)",
        r"\b(?:неизвестн|неясн|затрудняюсь)|\bнет (?:данных|информации|ответа)",
    ),
}
TURNS = (
    r"\b(?:but|however|nevertheless|still,|aber|jedoch|allerdings|mais|cependant|toutefois|pero|sin "
    r"embargo|però|tuttavia|porém|no entanto|maar|echter|однако)\b|\bma |\bmas |\bdoch |\bно |"
    r"但是|但|不过|不過|然而|しかし|けれど|けど|ですが|ませんが|ただし|でも|지만|그러나"
)
GUESSES = (
    r"\b(?:i(?:'d| would)? (?:think|guess|believe|suppose|say|assume|suspect|imagine)|my (?:best )?guess|"
    r"probably|most likely|presumably|the (?:correct |right )?answer is|it (?:might|may|could) be|"
    r"ich (?:glaube|denke)|die antwort (?:ist|lautet)|je (?:pense|crois)|la réponse est|creo que|"
    r"la respuesta es|credo|penso che|la risposta è|acho que|a resposta é|ik denk|het antwoord is|"
    r"я думаю|ответ —|думаю)|答案是|我认为|我認為|だと思います|答えは|같습니다|답은"
)
FILLERS = (
    r"^(?:(?:i'm |i am )?(?:so |very |really )?sorry|unfortunately|apologies|well|hmm+|oh|honestly|great|"
    r"good|haha|that(?:'s| is) (?:a|an) \w+(?: \w+)? (?:question|one)|thanks?|hello|hi)\b|"
    r"^(?:as|i'm|i am) (?:just |only )?an? (?:ai|artificial|language|large|assistant|chatbot|computer)|"
    r"\b(?:look (?:it|that|this) up|have to check|find out|get back to you|ask someone|"
    r"consult|please|let me know|feel free|recommend|suggest|could you|can you|if you)\b|"
    r"^(?:i'm|i am) not an? |^i(?:'ve| have) never|"
    r"^(?:es )?tut mir leid|^leider|^désolé|^lo siento|^mi dispiace|^desculpe|^sorry|^抱歉|^对不起|"
    r"^申し訳|^すみません|^죄송|^извините|^к сожалению"
)
